import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import {
  type BrowserClassifier,
  type BrowserImage,
  type Classification,
  type Picture,
  pictureOf,
  resizePicture,
} from "../../src/browser.ts";
import { messageOf } from "./words.ts";

/** An image that was given, and what came of it. */
export interface Item {
  readonly id: number;
  readonly name: string;
  readonly image: BrowserImage;
  readonly isInverted: boolean;
  readonly seen?: Seen;
  readonly error?: string;
}

export interface Seen {
  readonly classifier: BrowserClassifier;
  /** As the encoder gets it. */
  readonly picture: Picture;
  readonly result: Classification;
}

export interface NewImage {
  readonly name: string;
  readonly image: BrowserImage;
}

/** More would fill the memory of a phone. */
export const mostItems = 200;

const inverted = (picture: Picture): Picture => ({ ...picture, pixels: picture.pixels.map((value) => 255 - value) });

const withoutSeen = ({ seen: _, ...rest }: Item): Item => rest;

async function look(item: Item, classifier: BrowserClassifier): Promise<Item> {
  const rest = withoutSeen(item);
  try {
    const { channels, imageSize } = classifier.card.model;
    const given = await pictureOf(item.image, channels, item.name);
    const picture = item.isInverted ? inverted(given) : given;
    const result = await classifier.classify(picture);
    return { ...rest, seen: { classifier, picture: resizePicture(picture, imageSize), result } };
  } catch (error) {
    return { ...rest, error: messageOf(error) };
  }
}

export interface Items {
  readonly items: readonly Item[];
  readonly selected: Item | undefined;
  show(images: readonly NewImage[]): void;
  select(id: number): void;
  invert(item: Item): void;
}

/** The images given last, looked at one after another; all of them anew when the classifier changes. */
export function useItems(classifier: BrowserClassifier | undefined): Items {
  const [items, setItems] = useState<readonly Item[]>([]);
  const [selectedId, select] = useState(0);
  const nextId = useRef(1);

  const update = useCallback((item: Item) => setItems((all) => all.map((one) => (one.id === item.id ? item : one))), []);

  // One at a time, so that hundreds of pictures are not unpacked at once; whichever is still to do comes next.
  const waiting = items.find(({ seen, error }) => error === undefined && seen?.classifier !== classifier);
  useEffect(() => {
    if (!classifier || !waiting) return;
    let isCurrent = true;
    look(waiting, classifier).then((item) => isCurrent && update(item));
    return () => {
      isCurrent = false;
    };
  }, [classifier, waiting, update]);

  const show = useCallback((images: readonly NewImage[]) => {
    const made = images.map(({ name, image }) => ({ id: nextId.current++, name, image, isInverted: false }));
    setItems(made);
    if (made[0]) select(made[0].id);
  }, []);

  const invert = useCallback(({ id, name, image, isInverted }: Item) => update({ id, name, image, isInverted: !isInverted }), [update]);

  // What another classifier said is not shown beside this one's card.
  const shown = items.map((item) => (item.seen && item.seen.classifier !== classifier ? withoutSeen(item) : item));
  return { items: shown, selected: shown.find(({ id }) => id === selectedId), show, select, invert };
}
