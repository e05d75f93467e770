"""Iterates of gradient attacks from an independent implementation: PyTorch, in float64, by its autograd and its Adam.

Needs Debian's python3-torch. Usage: /usr/bin/python3 scripts/golden-attacks.py [folder]   (default: test/golden)
Writes attacks.json: a small network of seeded weights (convolution, ReLU, linear, class Gaussians), three images, and per attack every image
at which it asks for a gradient. The text of the papers and of the reference implementations (foolbox 3) was followed, no code of ours.
"""
import json, math, os, sys
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
torch.manual_seed(20)
SIDE, CHANNELS, FEATURES, CLASSES, IMAGES = 6, 3, 5, 4, 3

# Rounded to float32, so that both sides compute with the same weights.
rounded = lambda t: t.float().double()
weights = {
    "conv": rounded(torch.randn(CHANNELS, 1, 3, 3) / 2),
    "linear": rounded(torch.randn(FEATURES, CHANNELS * SIDE * SIDE) * 0.25),
    "mean": rounded(torch.randn(CLASSES, FEATURES) * 1.5),
    "logSigma": rounded(torch.randn(CLASSES, FEATURES) * 0.2),
}
images = rounded(torch.rand(IMAGES, 1, SIDE, SIDE))
# Some pixels black and white, where tanh space is flat.
images[:, :, 0, :3], images[:, :, 5, 3:] = 0.0, 1.0


def scores(x):
    """log p(z|c), [N, C]."""
    y = F.relu(F.conv2d(x, weights["conv"], padding=1)).flatten(1)
    z = F.linear(y, weights["linear"])
    return torch.distributions.Normal(weights["mean"], weights["logSigma"].exp()).log_prob(z[:, None]).sum(-1)


labels = scores(images).argmax(1)
# The third best class: neither the nearest nor out of reach.
targets = scores(images).topk(3).indices[:, 2]
thresholds = rounded(scores(images).gather(1, labels[:, None]).mean(0).expand(CLASSES) - torch.linspace(0, 3, CLASSES))


def margin(s, targeted):
    of = targets if targeted else labels
    own = s[torch.arange(len(s)), of]
    others = s.masked_fill(F.one_hot(of, CLASSES).bool(), -math.inf).amax(1)
    return own - others if targeted else others - own


def accepted_margin(s, targeted):
    rivals = torch.stack([s[:, [k for k in range(CLASSES) if k != j]].amax(1) for j in range(CLASSES)], 1)
    m = torch.minimum(s - rivals, s - thresholds)
    if targeted:
        return m[torch.arange(len(s)), targets]
    return m.masked_fill(F.one_hot(labels, CLASSES).bool(), -math.inf).amax(1)


def cross_entropy(s, targeted):
    return -F.cross_entropy(s, targets, reduction="none") if targeted else F.cross_entropy(s, labels, reduction="none")


LOSSES = {"margin": margin, "accepted": accepted_margin, "cross-entropy": cross_entropy}
norm2 = lambda t: t.flatten(1).norm(dim=1)[:, None, None, None]


def ascent(norm, loss, epsilon, steps, relative_step, targeted=False):
    """BIM (FGSM for one step): Kurakin et al. 2017; Madry et al. 2018 without a random start."""
    x, iterates = images.clone(), [images]
    for _ in range(steps):
        x.requires_grad_()
        (g,) = torch.autograd.grad(LOSSES[loss](scores(x), targeted).sum(), x)
        step = g.sign() if norm == "linf" else g / norm2(g)
        delta = x.detach() + relative_step * epsilon * step - images
        delta = delta.clamp(-epsilon, epsilon) if norm == "linf" else delta * (epsilon / norm2(delta)).clamp(max=1)
        x = (images + delta).clamp(0, 1)
        iterates.append(x)
    return iterates


def carlini_wagner(loss, confidence, steps, learning_rate, binary_search_steps, initial_constant, abort_early, targeted=False):
    """Carlini & Wagner 2017 (L2). -> iterates of all constants in turn, nearest adversarials (or originals).

    An iterate has the samples still worked on: with abort_early each is looked at ten times, and given up unless its loss has fallen by 0.01%.
    """
    lower, upper = torch.zeros(IMAGES), torch.full((IMAGES,), math.inf)
    constant = torch.full((IMAGES,), initial_constant)
    nearest, nearest_distance, iterates = images.clone(), torch.full((IMAGES,), math.inf), []
    for _ in range(binary_search_steps):
        w = torch.atanh((2 * images - 1) * 0.999999).requires_grad_()
        adam = torch.optim.Adam([w], lr=learning_rate)
        found, is_open = torch.zeros(IMAGES, dtype=torch.bool), torch.ones(IMAGES, dtype=torch.bool)
        last_loss = torch.full((IMAGES,), math.inf)
        for step in range(steps):
            if not is_open.any():
                break
            x = (torch.tanh(w) + 1) / 2
            iterates.append(x.detach()[is_open])
            s = scores(x)
            m = LOSSES[loss](s, targeted)
            distance = (x - images).square().flatten(1).sum(1)
            hits = (s.argmax(1) == targets) if targeted else (s.argmax(1) != labels)
            hits &= (m >= confidence) & is_open
            found |= hits
            better = hits & (distance < nearest_distance)
            nearest[better], nearest_distance[better] = x.detach()[better], distance.detach()[better]
            adam.zero_grad()
            losses = distance + constant * torch.clamp(confidence - m, min=0)
            losses.sum().backward()
            adam.step()
            if abort_early and step % math.ceil(steps / 10) == 0:
                is_open &= losses.detach() <= 0.9999 * last_loss
                last_loss = losses.detach()
        upper = torch.where(found, constant, upper)
        lower = torch.where(found, lower, constant)
        constant = torch.where(upper.isinf(), constant * 10, (lower + upper) / 2)
    return iterates, nearest


def deepfool(norm, steps, overshoot=0.02, targeted=False):
    """Moosavi-Dezfooli et al. 2016, Algorithm 2 with the dual norm of its Section 3.4. -> image after every step; one that has crossed stays."""
    iterates = [images]
    x, total = images.clone(), torch.zeros_like(images)
    for _ in range(steps):
        for i in range(IMAGES):
            at = x[i : i + 1].clone().requires_grad_()
            s = scores(at)[0]
            winner = s.argmax().item()
            if winner != labels[i].item() if not targeted else winner == targets[i].item():
                continue
            best = None
            for k in [targets[i].item()] if targeted else [k for k in range(CLASSES) if k != winner]:
                (g,) = torch.autograd.grad(s[k] - s[winner], at, retain_graph=True)
                gap = (s[k] - s[winner]).abs().item()
                distance = gap / (g.norm() if norm == "l2" else g.abs().sum()).item()
                if best is None or distance < best[0]:
                    best = (distance, g)
            distance, g = best
            total[i] += (distance + 1e-4) * (g / g.norm() if norm == "l2" else g.sign())[0]
            x = x.clone()
            x[i] = (images[i] + (1 + overshoot) * total[i]).clamp(0, 1)
        iterates.append(x)
    return iterates


flat = lambda t: [float(f"{v:.8g}") for v in t.reshape(-1).tolist()]
short = lambda t: [round(v, 6) for v in t.reshape(-1).tolist()]
cases = []


def record(attack, settings, iterates, targeted=False, epsilon=None, result=None):
    cases.append({"attack": attack, "settings": settings, "targeted": targeted} | ({} if epsilon is None else {"epsilon": epsilon})
        | {"iterates": [short(x) for x in iterates]} | ({} if result is None else {"result": short(result)}))


def record_ascent(attack, epsilon, norm, loss, steps=1, step=1.0, targeted=False):
    stepping = {} if attack == "fgsm" else {"steps": steps, "relativeStepSize": step, "earlyStop": False}
    record(attack, {"norm": norm, "loss": loss, **stepping}, ascent(norm, loss, epsilon, steps, step, targeted), targeted, epsilon)


record_ascent("fgsm", 0.1, "linf", "cross-entropy")
record_ascent("fgsm", 0.5, "l2", "margin", targeted=True)
record_ascent("bim", 0.15, "linf", "cross-entropy", 4, 0.4)
record_ascent("bim", 0.15, "linf", "accepted", 4, 0.4, targeted=True)
record_ascent("bim", 0.8, "l2", "margin", 4, 0.4)


def record_carlini_wagner(targeted, **settings):
    names = {"loss": "loss", "confidence": "confidence", "steps": "steps", "learning_rate": "learningRate", "binary_search_steps": "binarySearchSteps", "initial_constant": "initialConstant", "abort_early": "abortEarly"}
    iterates, result = carlini_wagner(targeted=targeted, **settings)
    record("cw-l2", {names[k]: v for k, v in settings.items()}, iterates, targeted, None, result)


record_carlini_wagner(False, loss="margin", confidence=0.0, steps=8, learning_rate=0.1, binary_search_steps=3, initial_constant=0.05, abort_early=False)
record_carlini_wagner(True, loss="margin", confidence=1.0, steps=8, learning_rate=0.15, binary_search_steps=3, initial_constant=0.5, abort_early=False)
record_carlini_wagner(False, loss="accepted", confidence=0.0, steps=8, learning_rate=0.1, binary_search_steps=3, initial_constant=0.5, abort_early=False)
record_carlini_wagner(False, loss="margin", confidence=1.0, steps=14, learning_rate=0.1, binary_search_steps=3, initial_constant=0.1, abort_early=True)
record_carlini_wagner(True, loss="margin", confidence=0.0, steps=14, learning_rate=0.15, binary_search_steps=3, initial_constant=0.2, abort_early=True)
for norm in ("l2", "linf"):
    record("deepfool", {"norm": norm, "steps": 8}, deepfool(norm, 8))
record("deepfool", {"norm": "l2", "steps": 6}, deepfool("l2", 6, targeted=True), targeted=True)

golden = {
    "madeBy": f"PyTorch {torch.__version__.split('+')[0]}, float64", "side": SIDE, "channels": CHANNELS, "features": FEATURES, "classes": CLASSES,
    "weights": {name: flat(w) for name, w in weights.items()},
    "thresholds": flat(thresholds), "images": flat(images), "labels": labels.tolist(), "targets": targets.tolist(), "cases": cases,
}
with open(os.path.join(sys.argv[1] if len(sys.argv) > 1 else "test/golden", "attacks.json"), "w") as file:
    json.dump(golden, file)
    file.write("\n")
