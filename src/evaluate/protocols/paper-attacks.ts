// What the paper measured under attack, and the attacks that we answer it with.

/** An attack on the first images of a test set. */
export interface PaperAttack {
  /** Of its folder. */
  readonly id: string;
  readonly title: string;
  readonly attack: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly epsilons?: readonly number[];
  /** How targets are chosen, for a targeted attack. */
  readonly targets?: string;
  /** Ours beside the paper's protocol: made against the reject rule. */
  readonly isAdaptive?: boolean;
}

/** Images attacked, the first of each test set. */
export const paperCount = 1000;

/** Table 5's, and ours. */
export const untargetedAttacks = [
  { id: "deepfool", title: "DeepFool", attack: "deepfool", settings: {} },
  { id: "boundary", title: "Boundary", attack: "boundary", settings: {} },
  { id: "local-search", title: "LocalSearch", attack: "local-search", settings: {} },
  { id: "cw-l2-accepted", title: "C&W-L2 that knows the rule", attack: "cw-l2", settings: { loss: "accepted" }, isAdaptive: true },
] as const satisfies readonly PaperAttack[];

/** Table 4's and 9's C&W, beside those of Table 5. */
export const untargetedCw: PaperAttack = { id: "cw-l2", title: "CW-L2", attack: "cw-l2", settings: {} };

export const confidences = [0, 500, 1000] as const;

/** Tables 6 and 7; the paper does not say how targets were chosen for Table 7. */
export const targetedCw = (confidence: number, targets = "random"): PaperAttack => ({
  id: `cw-l2-targeted-${targets}-${confidence}`,
  title: `CW-L2 (kappa = ${confidence})`,
  attack: "cw-l2",
  settings: { confidence },
  targets,
});

export const targetedAdaptive: PaperAttack = {
  id: "cw-l2-targeted-random-accepted",
  title: "C&W-L2 that knows the rule",
  attack: "cw-l2",
  settings: { loss: "accepted" },
  targets: "random",
  isAdaptive: true,
};

/** Figures 4 and 5. */
export const figureEpsilons = [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5] as const;

export const figureAttacks: readonly PaperAttack[] = [
  { id: "fgsm", title: "FGSM", attack: "fgsm", settings: { loss: "cross-entropy" }, epsilons: figureEpsilons },
  { id: "pgd", title: "PGD", attack: "pgd", settings: { loss: "cross-entropy" }, epsilons: figureEpsilons },
  { id: "apgd-margin", title: "Auto-PGD, margin loss", attack: "apgd", settings: { loss: "margin" }, epsilons: figureEpsilons },
  {
    id: "apgd-accepted",
    title: "Auto-PGD that knows the rule",
    attack: "apgd",
    settings: { loss: "accepted" },
    epsilons: figureEpsilons,
    isAdaptive: true,
  },
];

/** All that are measured on more than one image. */
export const countedAttacks: readonly PaperAttack[] = [
  ...untargetedAttacks,
  ...confidences.map((confidence) => targetedCw(confidence)),
  targetedAdaptive,
  ...figureAttacks,
];

/** Table 5, percent: detected at the 1st and the 2nd percentile. */
export const paperTable5: Readonly<Record<string, Readonly<Record<string, readonly [number, number]>>>> = {
  mnist: { deepfool: [98, 98.6], boundary: [100, 100], "local-search": [99.9, 100] },
  cifar10: { deepfool: [61.1, 64.3], boundary: [100, 100], "local-search": [88.8, 93.1] },
};

/** Table 7, percent, by kappa: detected at the 1st and the 2nd percentile, success. */
export const paperTable7: Readonly<Record<string, Readonly<Record<number, readonly [number, number, number]>>>> = {
  mnist: { 0: [100, 100, 84.65], 500: [99.78, 99.78, 76.61], 1000: [90.24, 95.98, 45.56] },
  cifar10: { 0: [93.93, 94.8, 70.84], 500: [76.55, 84.07, 61.26], 1000: [47.86, 75.13, 48.86] },
};

/** Section 5.3: of discriminative counterparts, percent. */
export const paperTwinSuccess = 100;

interface PaperLogits {
  readonly thresholds: readonly number[];
  readonly original: readonly number[];
  /** By id of the attack. */
  readonly attacks: Readonly<Record<string, readonly number[]>>;
}

/** Tables 4 (MNIST) and 9 (CIFAR10): log p(z|c) of the first test image of class 0 and of its adversarials. */
export const paperLogits: Readonly<Record<string, PaperLogits>> = {
  mnist: {
    thresholds: [477.6, 465.2, 481.1, 477.7, 465.4, 407.2, 474.5, 470.4, 472.3, 463.5],
    original: [482.5, -644.5, -440.8, -378.8, -1082.5, -409.8, -473.8, -850.0, -415.0, -699.2],
    attacks: {
      deepfool: [243.4, -306.4, -172.4, -394.1, -538.3, -181.0, 243.5, -944.2, -107.7, -524.1],
      "cw-l2": [175.9, -244.9, -486.4, -287.5, -500.8, -257.6, -409.5, -233.5, -174.3, 176.5],
      boundary: [-58.5, 11.5, 205.7, -149.7, -415.1, -308.0, -356.3, 205.8, -223.3, -250.3],
      "local-search": [180.4, -225.3, -481.9, -281.3, -498.9, -223.2, -378.8, -257.9, -143.1, 189.9],
    },
  },
  cifar10: {
    thresholds: [408.6, 396.6, 375.9, 378.4, 363.3, 376.7, 409.4, 383.0, 397.1, 412.2],
    original: [424.2, -386.1, -379.2, -319.8, -370.2, -357.2, -356.9, -259.3, -291.9, -239.0],
    attacks: {
      deepfool: [153.4, -391.6, -344.1, -262.6, -376.1, -345.9, 215.1, -306.5, -244.3, -326.4],
      "cw-l2": [129.9, -555.3, 235.4, -353.1, -471.6, -400.3, -342.7, -367.2, -486.4, -326.4],
      boundary: [213.9, -417.4, -458.3, -548.0, -587.4, -236.3, 214.0, -1246.1, -171.2, -555.6],
      "local-search": [165.2, -485.7, 190.9, -325.6, -439.0, -379.0, -318.8, -327.5, -357.9, -272.3],
    },
  },
};
