import { useEffect, useRef, useState } from "preact/hooks";
import { mostItems, type NewImage } from "../use-items.ts";
import { Camera } from "./camera.tsx";
import { DrawPad } from "./draw-pad.tsx";

interface InputsProps {
  readonly onImages: (images: readonly NewImage[]) => void;
  readonly onError: (message: string) => void;
}

const ways = { draw: "Draw", files: "Files", camera: "Camera" } as const;
type Way = keyof typeof ways;
const names = Object.keys(ways) as Way[];

/** The ways to give the page an image. Dropping and pasting work everywhere. */
export function Inputs({ onImages, onError }: InputsProps) {
  const [way, setWay] = useState<Way>("draw");
  const takeFiles = useFiles(onImages, onError);

  const key = (event: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by === undefined) return;
    const next = names[(names.indexOf(way) + by + names.length) % names.length]!;
    setWay(next);
    document.getElementById(`tab-${next}`)?.focus();
    event.preventDefault();
  };
  return (
    <section class="panel inputs" aria-labelledby="inputs-heading">
      <h2 id="inputs-heading">Show it an image</h2>
      <div role="tablist" aria-labelledby="inputs-heading" class="tabs">
        {names.map((name) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`tab-${name}`}
            aria-selected={name === way}
            aria-controls={name === way ? `way-${name}` : undefined}
            tabIndex={name === way ? 0 : -1}
            onClick={() => setWay(name)}
            onKeyDown={key}
          >
            {ways[name]}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`way-${way}`} aria-labelledby={`tab-${way}`} class="way">
        {way === "draw" && <DrawPad onDrawn={(image) => onImages([image])} />}
        {way === "files" && <Chooser onFiles={takeFiles} />}
        {way === "camera" && <Camera onTaken={(image) => onImages([image])} />}
      </div>
      <Samples onImages={onImages} onError={onError} />
    </section>
  );
}

/** Takes files that are chosen, or dropped or pasted anywhere on the page. */
function useFiles(
  onImages: (images: readonly NewImage[]) => void,
  onError: (message: string) => void,
): (files: ArrayLike<File> | undefined) => void {
  const take = (files: ArrayLike<File> | undefined) => {
    const all = Array.from(files ?? []);
    if (all.length > mostItems) onError(`${all.length} files: the first ${mostItems} are shown. For whole folders there is: sdim evaluate`);
    if (all.length > 0) onImages(all.slice(0, mostItems).map((file) => ({ name: file.name, image: file })));
  };
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
    const over = (event: DragEvent) => {
      event.preventDefault();
      document.documentElement.classList.add("dragging");
    };
    const leave = (event: DragEvent) => event.relatedTarget === null && document.documentElement.classList.remove("dragging");
    const drop = (event: DragEvent) => {
      event.preventDefault();
      document.documentElement.classList.remove("dragging");
      latest.current(event.dataTransfer?.files);
    };
    const paste = (event: ClipboardEvent) => latest.current(event.clipboardData?.files);
    addEventListener("dragover", over);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    addEventListener("paste", paste);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
      removeEventListener("paste", paste);
    };
  }, []);
  return take;
}

function Chooser({ onFiles }: { readonly onFiles: (files: ArrayLike<File> | undefined) => void }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <div class="dropzone">
      <p>
        Drop images anywhere on this page, paste one, or{" "}
        <button type="button" class="primary" onClick={() => input.current!.click()}>
          choose files
        </button>
      </p>
      <input
        ref={input}
        type="file"
        accept="image/png,image/jpeg,image/webp,image/gif,image/bmp"
        multiple
        hidden
        onChange={(event) => {
          onFiles(event.currentTarget.files ?? undefined);
          // So that the same file can be chosen again.
          event.currentTarget.value = "";
        }}
      />
      <p class="note">PNG, JPEG, WebP, GIF or BMP; several at once. They stay on this device.</p>
    </div>
  );
}

const samples = [
  { file: "digit.png", name: "a digit" },
  { file: "shirt.png", name: "a shirt" },
];

function Samples({ onImages, onError }: InputsProps) {
  const show = async ({ file, name }: (typeof samples)[number]) => {
    const response = await fetch(`samples/${file}`);
    if (!response.ok) return onError(`samples/${file} is not there: is the page complete?`);
    onImages([{ name, image: await response.blob() }]);
  };
  return (
    <p class="samples">
      Or try{" "}
      {samples.map((sample, i) => (
        <>
          {i > 0 && " or "}
          <button key={sample.file} type="button" class="link" onClick={() => show(sample)}>
            {sample.name}
          </button>
        </>
      ))}
    </p>
  );
}
