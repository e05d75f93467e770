"""Golden values of layers, losses and whole networks from an independent implementation: PyTorch, in float64.

Needs Debian's python3-torch. Usage: /usr/bin/python3 scripts/golden.py [folder]   (default: test/golden)
No inputs are stored. Tensor number t of a case (from 0, in the order of its "tensors") has at flat index i the value
offset + scale * sin(12.9898 (i + 1) + 78.233 (t + 1)), rounded to float32. Large results are stored as a digest:
sum, sum of absolute values, dot product with sin(0.7 (i + 1)), and the first 16 values.
"""
import json, math, os, sys
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
LARGE = 400


class Case:
    """One case: named inputs made by the formula, results to store. `inference`: norms use given statistics, else the batch's."""

    def __init__(self, name, inference=False, **config):
        self.record = {"case": name, "madeBy": f"PyTorch {torch.__version__.split('+')[0]}, float64", "config": config, "tensors": [], "results": {}}
        self.values = {}
        self.inference = inference
        self.statistics = {}

    def tensor(self, name, shape, scale=1.0, offset=0.0):
        count = math.prod(shape)
        ordinal = len(self.record["tensors"])
        data = [offset + scale * math.sin(12.9898 * (i + 1) + 78.233 * (ordinal + 1)) for i in range(count)]
        value = torch.tensor(data, dtype=torch.float64).float().double().reshape(shape).requires_grad_()
        self.record["tensors"].append({"name": name, "shape": list(shape), "scale": scale, "offset": offset})
        self.values[name] = value
        return value

    def __getitem__(self, name):
        return self.values[name]

    def result(self, name, value):
        flat = value.detach().reshape(-1)
        entry = {"shape": list(value.shape)}
        if flat.numel() > LARGE:
            waves = torch.sin(0.7 * (torch.arange(flat.numel(), dtype=torch.float64) + 1))
            entry["digest"] = {"sum": flat.sum().item(), "absSum": flat.abs().sum().item(), "projection": (flat * waves).sum().item(), "first": flat[:16].tolist()}
        else:
            entry["values"] = flat.tolist()
        self.record["results"][name] = entry

    def gradients(self, loss, names=None):
        names = names or list(self.values)
        for name, slope in zip(names, torch.autograd.grad(loss, [self.values[n] for n in names], allow_unused=True)):
            self.result(f"gradient {name}", torch.zeros_like(self.values[name]) if slope is None else slope)

    def write(self, folder):
        with open(os.path.join(folder, self.record["case"] + ".json"), "w") as file:
            json.dump(self.record, file, indent=0)
            file.write("\n")


class Counter:
    """Stands in for a case where only the number of weights matters."""

    inference = False
    weights = 0

    def tensor(self, name, shape, scale=1.0, offset=0.0):
        self.weights += math.prod(shape)


def declare_norm(case, prefix, channels):
    case.tensor(f"{prefix}.weight", [channels], 0.1, 1.0)
    case.tensor(f"{prefix}.bias", [channels], 0.1)
    if case.inference:
        case.tensor(f"{prefix}.runningMean", [channels], 0.1)
        case.tensor(f"{prefix}.runningVariance", [channels], 0.4, 1.0)


def norm(case, prefix, x):
    """Training keeps in case.statistics what running statistics that start at 0 and 1 become."""
    gamma, beta = case[f"{prefix}.weight"], case[f"{prefix}.bias"]
    if case.inference:
        mean, variance = (case[f"{prefix}.{name}"].detach() for name in ("runningMean", "runningVariance"))
        return F.batch_norm(x, mean, variance, gamma, beta, training=False, eps=1e-5)
    mean, variance = torch.zeros_like(beta), torch.ones_like(beta)
    case.statistics |= {f"{prefix}.runningMean": mean, f"{prefix}.runningVariance": variance}
    return F.batch_norm(x, mean, variance, gamma, beta, training=True, momentum=0.1, eps=1e-5)


def he(fan_in):
    return 1.2 * math.sqrt(2 / fan_in)


def declare_conv(case, name, cin, cout):
    case.tensor(f"{name}.weight", [cout, cin, 3, 3], he(9 * cin))


def declare_block(case, at, cin, cout):
    declare_conv(case, f"{at}.conv1", cin, cout)
    declare_norm(case, f"{at}.norm1", cout)
    declare_conv(case, f"{at}.conv2", cout, cout)
    declare_norm(case, f"{at}.norm2", cout)


def declare_encoder(case, channels, widths, blocks, outputs):
    declare_conv(case, "encoder.stem.conv", channels, widths[0])
    declare_norm(case, "encoder.stem.norm", widths[0])
    cin = widths[0]
    for s, cout in enumerate(widths, 1):
        for k in range(1, blocks + 1):
            declare_block(case, f"encoder.stage{s}.block{k}", cin, cout)
            cin = cout
    case.tensor("encoder.head.linear1.weight", [widths[3], widths[3]], he(widths[3]))
    case.tensor("encoder.head.linear1.bias", [widths[3]], 0.1)
    declare_norm(case, "encoder.head.norm", widths[3])
    case.tensor("encoder.head.linear2.weight", [outputs, widths[3]], he(widths[3]))
    case.tensor("encoder.head.linear2.bias", [outputs], 0.1)


def block(case, at, x, cin, cout, stride):
    y = F.relu(norm(case, f"{at}.norm1", F.conv2d(x, case[f"{at}.conv1.weight"], stride=stride, padding=1)))
    y = norm(case, f"{at}.norm2", F.conv2d(y, case[f"{at}.conv2.weight"], padding=1))
    if stride != 1:
        x = x[:, :, ::2, ::2]
    pad = (cout - cin) // 2
    return F.relu(y + F.pad(x, (0, 0, 0, 0, pad, pad)))


def encode(case, x, widths, blocks):
    y = F.relu(norm(case, "encoder.stem.norm", F.conv2d(x, case["encoder.stem.conv.weight"], padding=1)))
    stages, cin = [], widths[0]
    for s, cout in enumerate(widths, 1):
        for k in range(1, blocks + 1):
            y = block(case, f"encoder.stage{s}.block{k}", y, cin, cout, 2 if s > 1 and k == 1 else 1)
            cin = cout
        stages.append(y)
    pooled = y.mean((2, 3))
    hidden = F.relu(norm(case, "encoder.head.norm", F.linear(pooled, case["encoder.head.linear1.weight"], case["encoder.head.linear1.bias"])))
    return stages, F.linear(hidden, case["encoder.head.linear2.weight"], case["encoder.head.linear2.bias"])


def declare_critic(case, kind, channels, d):
    if kind == "concat":
        for name, shape in (("conv1", [256, channels + d, 1, 1]), ("conv2", [256, 256, 1, 1]), ("conv3", [1, 256, 1, 1])):
            case.tensor(f"critic.{name}.weight", shape, he(shape[1]))
            case.tensor(f"critic.{name}.bias", shape[:1], 0.1)
        return
    for side, cin in (("local", channels), ("global", d)):
        case.tensor(f"critic.{side}.conv1.weight", [256, cin, 1, 1], he(cin))
        declare_norm(case, f"critic.{side}.norm", 256)
        case.tensor(f"critic.{side}.conv2.weight", [256, 256, 1, 1], he(256))
        case.tensor(f"critic.{side}.conv2.bias", [256], 0.1)
        case.tensor(f"critic.{side}.shortcut.weight", [256, cin, 1, 1], he(cin))
        # Small, so that dot products of 256 terms do not saturate the softplus.
        case.tensor(f"critic.{side}.layerNorm.weight", [256], 0.05, 0.2)
        case.tensor(f"critic.{side}.layerNorm.bias", [256], 0.05)


def all_scores(case, kind, local, z):
    """T[i, j, p]: representation of i, local features of j at position p."""
    n, c, h, w = local.shape
    if kind == "concat":
        pairs = torch.cat(
            [local[None].expand(n, n, c, h, w), z[:, None, :, None, None].expand(n, n, z.shape[1], h, w)], 2
        ).reshape(n * n, -1, h, w)
        t = F.relu(F.conv2d(pairs, case["critic.conv1.weight"], case["critic.conv1.bias"]))
        t = F.relu(F.conv2d(t, case["critic.conv2.weight"], case["critic.conv2.bias"]))
        return F.conv2d(t, case["critic.conv3.weight"], case["critic.conv3.bias"]).reshape(n, n, h * w)

    def embed(side, x):
        at = f"critic.{side}"
        y = F.relu(norm(case, f"{at}.norm", F.conv2d(x, case[f"{at}.conv1.weight"])))
        y = F.conv2d(y, case[f"{at}.conv2.weight"], case[f"{at}.conv2.bias"]) + F.conv2d(x, case[f"{at}.shortcut.weight"])
        return F.layer_norm(y.permute(0, 2, 3, 1), [256], case[f"{at}.layerNorm.weight"], case[f"{at}.layerNorm.bias"]).reshape(x.shape[0], -1, 256)

    return torch.einsum("ik,jpk->ijp", embed("global", z[:, :, None, None])[:, 0], embed("local", local))


def jsd(t, negatives):
    n = t.shape[0]
    own = torch.arange(n)
    positive = F.softplus(-t[own, own]).mean()
    if negatives == "shuffled":
        return positive + F.softplus(t[(own - 1) % n, own]).mean()
    return positive + F.softplus(t)[~torch.eye(n, dtype=torch.bool)].mean()


def declare_gaussians(case, classes, d):
    case.tensor("gaussians.mean", [classes, d], 1.0)
    case.tensor("gaussians.logSigma", [classes, d], 0.1)


def log_likelihoods(case, z, floor=None):
    log_sigma = case["gaussians.logSigma"]
    if floor is not None:
        log_sigma = log_sigma.clamp(min=floor)
    normal = torch.distributions.Normal(case["gaussians.mean"], log_sigma.exp())
    return normal.log_prob(z[:, None]).sum(-1)


def likelihood_losses(ll, labels, d, k=10.0):
    s = ll / d
    true = s[torch.arange(len(labels)), labels]
    others = torch.ones_like(s).scatter(1, labels[:, None], 0)
    margin = ((torch.clamp(s + k - true[:, None], min=0) ** 2 * others).sum(1) / (s.shape[1] - 1)).mean()
    return -true.mean(), margin


def is_mixed(condition):
    """Whether both sides of a kink occur, so that a formula without it could not pass."""
    return bool(condition.any()) and not bool(condition.all())


def layers(folder):
    for n, cin, cout, size, kernel, stride in ((16, 16, 32, 6, 3, 1), (16, 16, 32, 7, 3, 2), (16, 1, 16, 8, 3, 1), (16, 32, 16, 4, 1, 1), (2, 3, 5, 6, 3, 2)):
        case = Case(f"conv-{n}x{cin}x{size}-to-{cout}-k{kernel}-s{stride}", stride=stride, padding=kernel // 2)
        x = case.tensor("x", [n, cin, size, size])
        w = case.tensor("w", [cout, cin, kernel, kernel], he(cin * kernel * kernel))
        y = F.conv2d(x, w, stride=stride, padding=kernel // 2)
        dy = case.tensor("dy", list(y.shape))
        case.result("y", y)
        case.gradients((y * dy).sum(), ["x", "w"])
        case.write(folder)

    case = Case("linear")
    x, w, bias = case.tensor("x", [6, 5]), case.tensor("linear.weight", [4, 5], he(5)), case.tensor("linear.bias", [4], 0.1)
    y = F.linear(x, w, bias)
    dy = case.tensor("dy", [6, 4])
    case.result("y", y)
    case.gradients((y * dy).sum(), ["x", "linear.weight", "linear.bias"])
    case.write(folder)

    for at, cin, cout, stride in (("encoder.stage1.block1", 16, 16, 1), ("encoder.stage2.block1", 16, 32, 2)):
        case = Case(f"block-stride{stride}", block=at, filters=cout, stride=stride)
        x = case.tensor("x", [16, cin, 7, 7])
        declare_block(case, at, cin, cout)
        y = block(case, at, x, cin, cout, stride)
        for name, value in {"y": y, **case.statistics}.items():
            case.result(name, value)
        declared = list(case.values)
        dy = case.tensor("dy", list(y.shape))
        case.gradients((y * dy).sum(), declared)
        case.write(folder)

    case = Case("batch-norm-training")
    x = case.tensor("x", [16, 16, 4, 4], 2.0, 0.5)
    declare_norm(case, "norm", 16)
    dy = case.tensor("dy", [16, 16, 4, 4])
    y = norm(case, "norm", x)
    case.result("y", y)
    case.result("runningMean", case.statistics["norm.runningMean"])
    case.result("runningVariance", case.statistics["norm.runningVariance"])
    case.gradients((y * dy).sum(), ["x", "norm.weight", "norm.bias"])
    case.write(folder)

    case = Case("batch-norm-inference")
    x = case.tensor("x", [4, 16, 3, 3])
    declare_norm(case, "norm", 16)
    mean, variance = case.tensor("mean", [16], 0.3), case.tensor("variance", [16], 0.4, 1.0)
    y = F.batch_norm(x, mean.detach(), variance.detach(), case["norm.weight"], case["norm.bias"], training=False, eps=1e-5)
    case.result("y", y)
    case.gradients((y * y).sum(), ["x", "norm.weight", "norm.bias"])
    case.write(folder)

    for height, width, to in ((28, 28, 32), (48, 48, 32), (33, 20, 32)):
        case = Case(f"resize-{height}x{width}-to-{to}", size=to)
        x = case.tensor("x", [1, 1, height, width])
        y = F.interpolate(x, size=(to, to), mode="bilinear", align_corners=False, antialias=True)
        case.result("y", y)
        case.gradients((y * y).sum())
        case.write(folder)

    case = Case("cross-entropy", labels=[2, 0, 4, 4])
    logits = case.tensor("logits", [4, 5], 3.0)
    loss = F.cross_entropy(logits, torch.tensor([2, 0, 4, 4]))
    case.result("loss", loss)
    case.gradients(loss)
    case.write(folder)

    case = Case("adam", steps=3, learningRate=1e-3)
    w, target = case.tensor("w", [5]), case.tensor("target", [5])
    weight = w.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([weight], lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        ((weight - target.detach()) ** 2).sum().backward()
        optimizer.step()
    case.result("w", weight)
    case.write(folder)


def sdim_parts(folder):
    labels = [1, 0, 2, 2]
    # Far from the means some classes lose by more than the margin: there the hinge is 0.
    for name, floor, spread in (("gaussians", None, 1.5), ("gaussians-floor", 0.02, 1.5), ("gaussians-far", None, 30.0)):
        case = Case(name, logSigmaFloor=floor, classes=3, dimension=8, labels=labels)
        z = case.tensor("z", [4, 8], spread)
        declare_gaussians(case, 3, 8)
        ll = log_likelihoods(case, z, floor)
        nll, margin = likelihood_losses(ll, torch.tensor(labels), 8)
        if name == "gaussians-far":
            others = torch.ones_like(ll).scatter(1, torch.tensor(labels)[:, None], 0).bool()
            assert is_mixed((ll / 8 + 10 - ll.gather(1, torch.tensor(labels)[:, None]) / 8)[others] > 0), name
        assert floor is None or is_mixed(case["gaussians.logSigma"] > floor), name
        case.result("classLogLikelihoods", ll)
        case.result("negativeLogLikelihood", nll)
        case.result("margin", margin)
        case.gradients(2 * nll + 3 * margin)
        case.write(folder)
    for kind, channels in (("concat", 12), ("dot", 12)):
        for negatives in ("shuffled", "all-pairs"):
            case = Case(f"critic-{kind}-{negatives}", critic=kind, negatives=negatives)
            local, z = case.tensor("local", [4, channels, 2, 2]), case.tensor("z", [4, 8])
            declare_critic(case, kind, channels, 8)
            loss = jsd(all_scores(case, kind, local, z), negatives)
            case.result("loss", loss)
            case.gradients(loss)
            case.write(folder)


# The counts that the paper's Table 1 and Table 8 fix: discriminative networks, SDIM with either critic.
COUNTS = {"sdim-resnet10-concat": 1414177, "sdim-resnet10-dot": 1465120, "softmax-resnet10": 1250794, "sdim-resnet26-dot": 4602976, "softmax-resnet26": 4388650}
WIDTHS, LABELS, CRITICS = [32, 64, 128, 256], [3, 0, 9, 3], {"concat": (4, "shuffled"), "dot": (2, "all-pairs")}


def declare_network(case, kind, channels=1, blocks=1):
    declare_encoder(case, channels, WIDTHS, blocks, 10 if kind == "softmax" else 64)
    if kind != "softmax":
        declare_gaussians(case, 10, 64)
        declare_critic(case, kind, WIDTHS[CRITICS[kind][0] - 1], 64)


def check_counts():
    networks = {"sdim-resnet26-dot": ("dot", 3, 3), "softmax-resnet26": ("softmax", 3, 3)}
    networks |= {"sdim-resnet10-concat": ("concat",), "sdim-resnet10-dot": ("dot",), "softmax-resnet10": ("softmax",)}
    for name, declared in networks.items():
        counter = Counter()
        declare_network(counter, *declared)
        assert counter.weights == COUNTS[name], f"{name}: expected {COUNTS[name]} weights, got {counter.weights}"


def networks(folder):
    check_counts()
    for kind, (stage, negatives) in CRITICS.items():
        case = Case(f"sdim-resnet10-{kind}", critic=kind, localFeatures=f"stage{stage}", negatives=negatives, labels=LABELS)
        x = case.tensor("x", [4, 1, 32, 32], 0.5, 0.5)
        declare_network(case, kind)
        stages, z = encode(case, x, WIDTHS, 1)
        mi = jsd(all_scores(case, kind, stages[stage - 1], z), negatives)
        nll, margin = likelihood_losses(log_likelihoods(case, z), torch.tensor(LABELS), 64)
        finish(folder, case, {"representation": z, "mutualInformation": mi, "negativeLogLikelihood": nll, "margin": margin}, mi + nll + margin)

    case = Case("softmax-resnet10", labels=LABELS)
    x = case.tensor("x", [4, 1, 32, 32], 0.5, 0.5)
    declare_network(case, "softmax")
    logits = encode(case, x, WIDTHS, 1)[1]
    loss = F.cross_entropy(logits, torch.tensor(LABELS))
    finish(folder, case, {"representation": logits, "crossEntropy": loss}, loss)

    case = Case("input-gradient-resnet10", inference=True)
    x = case.tensor("x", [4, 1, 32, 32], 0.5, 0.5)
    declare_encoder(case, 1, WIDTHS, 1, 64)
    declare_gaussians(case, 10, 64)
    z = encode(case, x, WIDTHS, 1)[1]
    ll = log_likelihoods(case, z)
    case.result("representation", z)
    case.result("classLogLikelihoods", ll)
    case.gradients(ll.sum(), ["x"])
    case.write(folder)


def finish(folder, case, results, loss):
    for key, value in {**results, "loss": loss}.items():
        case.result(key, value)
    case.gradients(loss)
    case.write(folder)


if __name__ == "__main__":
    out = sys.argv[1] if len(sys.argv) > 1 else "test/golden"
    os.makedirs(out, exist_ok=True)
    layers(out)
    sdim_parts(out)
    networks(out)
