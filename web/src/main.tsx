import { Component, type ComponentChildren, render } from "preact";
import { App } from "./app.tsx";
import "./style.css";
import { messageOf } from "./words.ts";

/** Whatever fails while the page is drawn leaves a message, never an empty page. */
class Safe extends Component<{ readonly children: ComponentChildren }, { readonly message?: string }> {
  override componentDidCatch(error: unknown): void {
    this.setState({ message: messageOf(error) });
  }

  override render() {
    const { message } = this.state;
    if (message === undefined) return this.props.children;
    return (
      <main>
        <div class="error" role="alert">
          <p>The page failed, which is our fault: {message}</p>
          <button type="button" onClick={() => location.reload()}>
            Load it again
          </button>
        </div>
      </main>
    );
  }
}

const page = document.getElementById("page")!;
render(
  <Safe>
    <App />
  </Safe>,
  page,
);
