interface ProblemsProps {
  readonly messages: readonly string[];
  readonly onDismiss: (message: string) => void;
}

/** What went wrong, until it was read. */
export function Problems({ messages, onDismiss }: ProblemsProps) {
  return (
    <div class="problems">
      {messages.map((message) => (
        <div key={message} class="error" role="alert">
          <p>{message}</p>
          <button type="button" class="quiet" onClick={() => onDismiss(message)}>
            Dismiss
          </button>
        </div>
      ))}
    </div>
  );
}
