import { useEffect, useRef, useState } from "preact/hooks";
import { centreDigit, pictureOf } from "../../../src/browser.ts";
import type { NewImage } from "../use-items.ts";

interface DrawPadProps {
  readonly onDrawn: (image: NewImage) => void;
}

const size = 280;
/** MNIST's strokes are some 2 of 20 pixels wide and soft at the edge. */
const pen = 20;
const softness = 6;
/** Of the pen that arrow keys move. */
const step = 10;

const moves: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-step, 0],
  ArrowRight: [step, 0],
  ArrowUp: [0, -step],
  ArrowDown: [0, step],
};

interface Point {
  readonly x: number;
  readonly y: number;
}
type Stroke = readonly Point[];

function paint(context: CanvasRenderingContext2D, strokes: readonly Stroke[]): void {
  context.fillStyle = "#000";
  context.fillRect(0, 0, size, size);
  context.strokeStyle = "#fff";
  context.lineWidth = pen;
  context.lineCap = "round";
  context.lineJoin = "round";
  context.shadowColor = "#fff";
  for (const stroke of strokes) {
    context.shadowBlur = softness;
    context.beginPath();
    const [first, ...rest] = stroke;
    context.moveTo(first!.x, first!.y);
    // A dot, too, is a line.
    context.lineTo(first!.x + 0.01, first!.y);
    for (const { x, y } of rest) context.lineTo(x, y);
    context.stroke();
    context.shadowBlur = 0;
  }
}

/** A black board to draw on in white, by mouse, finger, pen or arrow keys. */
export function DrawPad({ onDrawn }: DrawPadProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  // Pointers move more often than the page is drawn, so the strokes are no state of it.
  const strokes = useRef<readonly Stroke[]>([]);
  const [isEmpty, setEmpty] = useState(true);
  const [isCentred, setCentred] = useState(true);
  const [cursor, setCursor] = useState<Point>({ x: size / 2, y: size / 2 });
  const [isPenDown, setPenDown] = useState(false);
  const [isByKeys, setByKeys] = useState(false);
  const pointer = useRef<number | undefined>(undefined);

  const context = () => canvas.current!.getContext("2d", { willReadFrequently: true })!;
  const change = (all: readonly Stroke[]) => {
    strokes.current = all;
    paint(context(), all);
    setEmpty(all.length === 0);
  };
  useEffect(() => paint(context(), []), []);
  const begin = (point: Point) => change([...strokes.current, [point]]);
  const extend = (point: Point) => change([...strokes.current.slice(0, -1), [...strokes.current.at(-1)!, point]]);

  const submit = async (centred: boolean) => {
    if (strokes.current.length === 0) return;
    const drawing = await pictureOf(context().getImageData(0, 0, size, size), 1);
    onDrawn({ name: "your drawing", image: (centred && centreDigit(drawing)) || drawing });
  };
  const cutBack = (all: readonly Stroke[]) => {
    setPenDown(false);
    change(all);
    return submit(isCentred);
  };

  const at = (event: PointerEvent): Point => {
    const { left, top, width, height } = canvas.current!.getBoundingClientRect();
    return { x: ((event.clientX - left) * size) / width, y: ((event.clientY - top) * size) / height };
  };
  const down = (event: PointerEvent) => {
    if (event.button !== 0 || pointer.current !== undefined) return;
    pointer.current = event.pointerId;
    canvas.current!.setPointerCapture(event.pointerId);
    setPenDown(false);
    setByKeys(false);
    begin(at(event));
  };
  const move = (event: PointerEvent) => {
    if (event.pointerId === pointer.current) extend(at(event));
  };
  const up = (event: PointerEvent) => {
    if (event.pointerId !== pointer.current) return;
    pointer.current = undefined;
    return submit(isCentred);
  };

  const key = (event: KeyboardEvent) => {
    const by = moves[event.key];
    if (by) {
      const inside = (value: number) => Math.min(size, Math.max(0, value));
      const point = { x: inside(cursor.x + by[0]), y: inside(cursor.y + by[1]) };
      setCursor(point);
      if (isPenDown) extend(point);
    } else if (event.key === " ") {
      setPenDown(!isPenDown);
      if (isPenDown) submit(isCentred);
      else begin(cursor);
    } else return;
    setByKeys(true);
    event.preventDefault();
  };

  return (
    <div class="draw">
      <div
        class="board"
        role="application"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys draw on it, so it must be reachable
        tabIndex={0}
        aria-label="Drawing board"
        aria-describedby="draw-help"
        onKeyDown={key}
        onBlur={() => setByKeys(false)}
      >
        <canvas ref={canvas} width={size} height={size} onPointerDown={down} onPointerMove={move} onPointerUp={up} onPointerCancel={up} />
        {isByKeys && (
          <span
            class={isPenDown ? "cursor down" : "cursor"}
            style={{ left: `${(100 * cursor.x) / size}%`, top: `${(100 * cursor.y) / size}%` }}
          />
        )}
      </div>
      <div class="row">
        <button type="button" onClick={() => cutBack([])} disabled={isEmpty}>
          Clear
        </button>
        <button type="button" onClick={() => cutBack(strokes.current.slice(0, -1))} disabled={isEmpty}>
          Undo
        </button>
        <label class="check">
          <input
            type="checkbox"
            checked={isCentred}
            onChange={(event) => {
              setCentred(event.currentTarget.checked);
              submit(event.currentTarget.checked);
            }}
          />
          centre it as MNIST’s digits are
        </label>
      </div>
      <p class="note" id="draw-help">
        Mouse, finger or pen. With the keyboard: arrow keys move the pen, space sets it down and lifts it.
      </p>
    </div>
  );
}
