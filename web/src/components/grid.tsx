import { decideAt, type ModelCard } from "../../../src/browser.ts";
import type { Item } from "../use-items.ts";
import { verdictOf } from "../words.ts";
import { Pixels } from "./pixels.tsx";

interface GridProps {
  readonly items: readonly Item[];
  readonly selected: number | undefined;
  readonly card: ModelCard;
  readonly percentile: number;
  readonly onSelect: (id: number) => void;
}

/** A verdict per image; the one that is chosen is shown in full. */
export function Grid({ items, selected, card, percentile, onSelect }: GridProps) {
  const seen = items.filter((item) => item.seen);
  const accepted = seen.filter((item) => decideAt(item.seen!.result, card, percentile).accepted[0] === 1).length;
  const failed = items.filter((item) => item.error !== undefined).length;
  return (
    <section class="panel" aria-labelledby="grid-heading">
      <h2 id="grid-heading">{items.length} images</h2>
      <p role="status" class="note">
        {accepted} accepted, {seen.length - accepted} rejected{failed > 0 ? `, ${failed} could not be read` : ""}
        {seen.length + failed < items.length ? `, ${items.length - seen.length - failed} to do` : ""}
      </p>
      <ul class="grid">
        {items.map((item) => (
          <li key={item.id}>
            <Tile item={item} card={card} percentile={percentile} isSelected={item.id === selected} onSelect={() => onSelect(item.id)} />
          </li>
        ))}
      </ul>
    </section>
  );
}

interface TileProps extends Pick<GridProps, "card" | "percentile"> {
  readonly item: Item;
  readonly isSelected: boolean;
  readonly onSelect: () => void;
}

function Tile({ item, card, percentile, isSelected, onSelect }: TileProps) {
  const verdict = item.seen && verdictOf(decideAt(item.seen.result, card, percentile), card);
  const words = item.error ? "unreadable" : verdict ? (verdict.isAccepted ? verdict.name : "unlike all") : "…";
  const kind = item.error ? "failed" : verdict ? (verdict.isAccepted ? "accepted" : "rejected") : "";
  return (
    <button type="button" class={`tile ${kind}`} aria-pressed={isSelected} onClick={onSelect}>
      {item.seen ? <Pixels picture={item.seen.picture} label={item.name} /> : <span class="pixels blank" />}
      <span class="tile-words">{words}</span>
    </button>
  );
}
