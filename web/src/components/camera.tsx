import { useEffect, useRef, useState } from "preact/hooks";
import type { NewImage } from "../use-items.ts";
import { messageOf } from "../words.ts";

interface CameraProps {
  readonly onTaken: (image: NewImage) => void;
}

type State = { readonly kind: "off" | "starting" | "on" } | { readonly kind: "failed"; readonly message: string };

/** The camera's picture, of which the middle square is taken. */
export function Camera({ onTaken }: CameraProps) {
  const video = useRef<HTMLVideoElement>(null);
  const stream = useRef<MediaStream | undefined>(undefined);
  const [state, setState] = useState<State>({ kind: "off" });

  const stop = () => {
    for (const track of stream.current?.getTracks() ?? []) track.stop();
    stream.current = undefined;
  };
  useEffect(() => stop, []);

  const start = async () => {
    setState({ kind: "starting" });
    try {
      if (!navigator.mediaDevices) throw new Error("browsers give it to pages served over HTTPS only");
      stream.current = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.current!.srcObject = stream.current;
      await video.current!.play();
      setState({ kind: "on" });
    } catch (error) {
      stop();
      setState({ kind: "failed", message: `The camera cannot be used: ${messageOf(error)}` });
    }
  };
  const take = async () => {
    const { videoWidth, videoHeight } = video.current!;
    const side = Math.min(videoWidth, videoHeight);
    const image = await createImageBitmap(video.current!, (videoWidth - side) / 2, (videoHeight - side) / 2, side, side);
    onTaken({ name: "photograph", image });
  };

  return (
    <div class="camera">
      <video ref={video} playsInline muted hidden={state.kind !== "on"} aria-label="What the camera sees" />
      {state.kind === "failed" && (
        <p class="error" role="alert">
          {state.message}
        </p>
      )}
      <div class="row">
        {state.kind === "on" ? (
          <>
            <button type="button" class="primary" onClick={take}>
              Take the picture
            </button>
            <button
              type="button"
              onClick={() => {
                stop();
                setState({ kind: "off" });
              }}
            >
              Stop
            </button>
          </>
        ) : (
          <button type="button" class="primary" onClick={start} disabled={state.kind === "starting"}>
            Start the camera
          </button>
        )}
      </div>
      <p class="note">Pictures stay on this device. Digits on paper are dark on light: use “Invert light and dark” beside the result.</p>
    </div>
  );
}
