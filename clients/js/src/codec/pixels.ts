/** The pixels of an `ImageBitmap`, there and back without waiting: by a canvas that nobody sees. */

type Pixels = { width: number; height: number; color_space?: PredefinedColorSpace | null; bytes: Uint8Array<ArrayBuffer> };

function canvas(width: number, height: number): [OffscreenCanvas, OffscreenCanvasRenderingContext2D] {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  if (!context) throw new TypeError("there is no canvas");
  return [canvas, context];
}

/** Throws a `SecurityError` for one that was drawn from another origin. */
export function pixelsOf(bitmap: ImageBitmap): Pixels {
  const { width, height } = bitmap;
  const [, context] = canvas(width, height);
  context.drawImage(bitmap, 0, 0);
  return { width, height, bytes: new Uint8Array(context.getImageData(0, 0, width, height).data.buffer) };
}

export const imageDataOf = ({ width, height, color_space, bytes }: Pixels): ImageData =>
  new ImageData(new Uint8ClampedArray(bytes.buffer), width, height, { colorSpace: color_space ?? "srgb" });

export function bitmapOf(pixels: Pixels): ImageBitmap {
  const [surface, context] = canvas(pixels.width, pixels.height);
  context.putImageData(imageDataOf(pixels), 0, 0);
  return surface.transferToImageBitmap();
}
