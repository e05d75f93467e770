import { useEffect, useRef } from "preact/hooks";
import type { Picture } from "../../../src/browser.ts";

/** A picture, pixel by pixel. */
export function Pixels({ picture, label }: { readonly picture: Picture; readonly label: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current!.getContext("2d")!;
    const { width, height, channels, pixels } = picture;
    const image = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = pixels[channels * i + (channels === 1 ? 0 : c)]!;
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }, [picture]);
  return <canvas ref={canvas} class="pixels" width={picture.width} height={picture.height} role="img" aria-label={label} />;
}
