/** An answer that is not the one that was asked for. `code` is for programs, the message for people. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: number;
  readonly code: string;
  readonly more: HttpErrorDetails;

  constructor(status: number, code: string, message: string, more: HttpErrorDetails = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.more = more;
  }
}

export interface HttpErrorDetails {
  /** The images it is about, where it is about some of them. */
  readonly images?: readonly RefusedImage[];
  readonly headers?: Readonly<Record<string, string>>;
}

export interface RefusedImage {
  /** Position in the request, from 0. */
  readonly index: number;
  /** As the request calls it. */
  readonly file?: string;
  readonly reason: string;
}

/** The body of every error outside of /v2. */
export interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string; readonly images?: readonly RefusedImage[] };
}

export const errorBody = ({ code, message, more: { images } }: HttpError): ErrorBody => ({
  error: { code, message, ...(images ? { images } : {}) },
});

export const overloaded = (message: string): HttpError => new HttpError(503, "overloaded", message, { headers: { "retry-after": "1" } });

export const noImages = (got: string): HttpError =>
  new HttpError(
    400,
    "no_images",
    `expected images, got ${got}: send files (multipart/form-data), one image as the body (Content-Type image/* or application/octet-stream), or JSON {"images": [base64, ...]}`,
  );
