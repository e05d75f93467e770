// When an image counts as adversarial.

export interface Verdict {
  readonly label: number;
  readonly accepted: boolean;
}

/** What is known of a sample: its true class and, in a targeted attack, the class wanted. */
export interface Goal {
  readonly label: number;
  readonly target: number | undefined;
}

export interface Criterion {
  readonly name: string;
  readonly needsTarget: boolean;
  /** Whether a rejected image is none: what meets it, meets it under the thresholds it was made against. */
  readonly needsAcceptance: boolean;
  readonly isMet: (verdict: Verdict, goal: Goal) => boolean;
}

export const misclassified: Criterion = {
  name: "misclassified",
  needsTarget: false,
  needsAcceptance: false,
  isMet: (verdict, { label }) => verdict.label !== label,
};

export const targeted: Criterion = {
  name: "targeted",
  needsTarget: true,
  needsAcceptance: false,
  isMet: (verdict, { target }) => verdict.label === target,
};

/** The classifier does not say "I don't know". */
export const accepted: Criterion = {
  name: "accepted",
  needsTarget: false,
  needsAcceptance: true,
  isMet: (verdict) => verdict.accepted,
};

export const allOf = (...criteria: readonly Criterion[]): Criterion => ({
  name: criteria.map(({ name }) => name).join("-and-"),
  needsTarget: criteria.some(({ needsTarget }) => needsTarget),
  needsAcceptance: criteria.some(({ needsAcceptance }) => needsAcceptance),
  isMet: (verdict, goal) => criteria.every(({ isMet }) => isMet(verdict, goal)),
});

/** Wrong, and the reject rule does not see it: what a user of a rejecting classifier fears. */
export const misclassifiedAndAccepted = allOf(misclassified, accepted);
export const targetedAndAccepted = allOf(targeted, accepted);

const known = [misclassified, targeted, misclassifiedAndAccepted, targetedAndAccepted];
export const criteria: ReadonlyMap<string, Criterion> = new Map(known.map((criterion) => [criterion.name, criterion]));

/** Whether each of N verdicts meets the criterion: 1 where it does, [N]. `labels`: true classes; `targets`: classes wanted. */
export const judge = (
  criterion: Criterion,
  verdicts: { readonly labels: Int32Array; readonly accepted: Uint8Array },
  { labels, targets }: { readonly labels: Int32Array; readonly targets?: Int32Array | undefined },
): Uint8Array =>
  Uint8Array.from(labels, (label, i) =>
    Number(criterion.isMet({ label: verdicts.labels[i]!, accepted: verdicts.accepted[i] === 1 }, { label, target: targets?.[i] })),
  );
