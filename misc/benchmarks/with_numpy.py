"""NumPy by hand: the derivatives worked out, what they need kept from the way forward."""

import itertools
import math

import numpy as np

# glibc gives freed memory back at once, and takes it again page by page, until it has seen one
# large block freed. micrograd does the same when it is imported.
np.empty((32 << 20) - (1 << 16), np.uint8)


def cross_entropy(scores, y):
    """The loss, and its gradient by the scores (rows, classes)."""
    p = scores - scores.max(axis=1, keepdims=True)
    rows = np.arange(len(y))
    right = p[rows, y]
    np.exp(p, out=p)
    total = p.sum(axis=1, keepdims=True)
    loss = np.log(total).mean() - right.mean()
    p /= total
    p[rows, y] -= 1
    p /= len(y)
    return loss, p


def max_margin(scores, y):
    margin = 1 - y * scores
    short = margin > 0
    return (margin * short).mean(), -y * short / len(y)


def dense(x, w, b):
    y = x @ w
    y += b
    return y


def mlp(task):
    parameters = [w.copy() for w in task.weights]
    weights, biases = parameters[::2], parameters[1::2]
    loss_of = {"cross_entropy": cross_entropy, "max_margin": max_margin}[task.loss]
    last, shrink = len(weights) - 1, 2 * task.alpha + task.decay

    def step():
        inputs = [task.x]
        for i, (w, b) in enumerate(zip(weights, biases)):
            h = dense(inputs[-1], w, b)
            inputs.append(np.maximum(h, 0, out=h) if i < last else h)
        loss, g = loss_of(inputs.pop(), task.y)
        if task.alpha:
            loss += task.alpha * sum((p * p).sum() for p in parameters)
        gradients = []
        for i in range(last, -1, -1):
            gradients += [g.sum(axis=0), inputs[i].T @ g]
            if i:
                g = g @ weights[i].T
                g *= inputs[i] > 0
        for p, g in zip(parameters, reversed(gradients)):
            if shrink:
                g += shrink * p
            p -= task.lr * g
        return float(loss)

    return step


def chain(task):
    """On 0-d arrays, as the tensors are, which can be updated in place; plain floats are faster."""

    def step():
        x, w, b = map(np.array, task.leaves)
        kept = []
        for _ in range(task.turns):
            y = np.tanh(x * w + b)
            kept.append((x, y))
            x = y
        out, g, gw, gb = x, np.ones_like(x), np.zeros_like(w), np.zeros_like(b)
        for x, y in reversed(kept):
            g = g * (1 - y * y)
            gw += g * x
            gb += g
            g = g * w
        return [out, g, gw, gb]

    return step


def columns_of(x):
    """All 3 x 3 windows of images (n, c, h, w), as the columns of n matrices."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    n, c, h, w = windows.shape[:4]
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * 9, h * w)


def quarters(x):
    """The four pixels of each 2 x 2 window; an odd last row or column belongs to none."""
    h, w = (n // 2 * 2 for n in x.shape[2:])
    return [x[:, :, i:h:2, j:w:2] for i in (0, 1) for j in (0, 1)]


def pool(x):
    a, b, c, d = quarters(x)
    return np.maximum(np.maximum(a, b), np.maximum(c, d))


def unpool(g, y, x):
    """The gradient of x, which a relu gave, where y is pooled from it and g is y's gradient."""
    out = np.zeros_like(x)
    for place, part in zip(quarters(out), quarters(x)):
        np.multiply(g, part == y, out=place)
    out *= x > 0
    return out.reshape(*x.shape[:2], -1)


def conv(task):
    parameters = [w.copy() for w in task.weights]
    w1, b1, w2, b2, w3, b3 = parameters
    w1, w2 = w1.reshape(8, 9), w2.reshape(16, 72)  # views, so they see the updates

    def convolve(columns, w, b, size):
        y = dense(w, columns, b[:, None])
        return np.maximum(y, 0, out=y).reshape(len(y), len(w), size, size)

    def step():
        n = len(task.x)
        columns1 = columns_of(task.x)
        y1 = convolve(columns1, w1, b1, 26)
        pool1 = pool(y1)
        columns2 = columns_of(pool1)
        y2 = convolve(columns2, w2, b2, 11)
        pool2 = pool(y2)
        flat = pool2.reshape(n, 400)
        loss, g = cross_entropy(dense(flat, w3, b3), task.y)

        gw3, gb3 = flat.T @ g, g.sum(axis=0)
        g = unpool((g @ w3.T).reshape(pool2.shape), pool2, y2)
        gw2, gb2 = (g @ columns2.swapaxes(1, 2)).sum(axis=0), g.sum(axis=(0, 2))
        parts = (w2.T @ g).reshape(n, 8, 3, 3, 11, 11)
        g = np.zeros_like(pool1)
        for i, j in itertools.product(range(3), range(3)):
            g[:, :, i : i + 11, j : j + 11] += parts[:, :, i, j]
        g = unpool(g, pool1, y1)
        gw1, gb1 = (g @ columns1.swapaxes(1, 2)).sum(axis=0), g.sum(axis=(0, 2))
        for p, g in zip(parameters, (gw1, gb1, gw2, gb2, gw3, gb3)):
            p -= task.lr * g.reshape(p.shape)
        return float(loss)

    return step


def normalize(x, w, b):
    y = x - x.mean(axis=1, keepdims=True)
    scale = 1 / np.sqrt((y * y).mean(axis=1, keepdims=True) + 1e-5)
    y *= scale
    return y * w + b, y, scale


def normalize_back(g, w, y, scale):
    """The gradients of x, w and b."""
    gw, gb = (g * y).sum(axis=0), g.sum(axis=0)
    g = g * w
    gx = g - g.mean(axis=1, keepdims=True)
    gx -= y * (g * y).mean(axis=1, keepdims=True)
    gx *= scale
    return gx, gw, gb


def gpt(task):
    parameters = [w.copy() for w in task.weights]
    token, position, *inner, wf, bf, wo, bo = parameters
    blocks = [inner[i : i + 16] for i in range(0, len(inner), 16)]
    (n, t), heads, size = task.x.shape, task.heads, task.width // task.heads
    a, a3 = math.sqrt(2 / math.pi), math.sqrt(2 / math.pi) * 0.044715
    update = adam(parameters, task.lr, task.decay)

    def split(x):  # rows (n t, width) to heads (n, heads, t, size)
        return x.reshape(n, t, heads, size).transpose(0, 2, 1, 3)

    def join(x):
        return x.transpose(0, 2, 1, 3).reshape(n * t, heads * size)

    def forward(x, w1, b1, wq, bq, wk, bk, wv, bv, wp, bp, w2, b2, wu, bu, wd, bd):
        h, h0, scale = normalize(x, w1, b1)
        q, k, v = (split(dense(h, w, b)) for w, b in ((wq, bq), (wk, bk), (wv, bv)))
        p = q @ k.swapaxes(2, 3)
        p *= size**-0.5
        p += task.mask
        p -= p.max(axis=3, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=3, keepdims=True)
        mixed = join(p @ v)
        x = x + dense(mixed, wp, bp)
        z, z0, scale2 = normalize(x, w2, b2)
        u = dense(z, wu, bu)
        tanh = np.tanh(u * (a + a3 * u * u))
        gelu = 0.5 * u * (1 + tanh)
        return x + dense(gelu, wd, bd), (
            h, h0, scale, q, k, v, p, mixed, z, z0, scale2, u, tanh, gelu,
        )  # fmt: skip

    def backward(g, kept, w1, b1, wq, bq, wk, bk, wv, bv, wp, bp, w2, b2, wu, bu, wd, bd):
        h, h0, scale, q, k, v, p, mixed, z, z0, scale2, u, tanh, gelu = kept
        gwd, gbd = gelu.T @ g, g.sum(axis=0)
        gu = g @ wd.T
        gu *= 0.5 * (1 + tanh) + 0.5 * u * (1 - tanh * tanh) * (a + 3 * a3 * u * u)
        gwu, gbu = z.T @ gu, gu.sum(axis=0)
        gx, gw2, gb2 = normalize_back(gu @ wu.T, w2, z0, scale2)
        g = g + gx
        gwp, gbp = mixed.T @ g, g.sum(axis=0)
        gm = split(g @ wp.T)
        gv = join(p.swapaxes(2, 3) @ gm)
        gp = gm @ v.swapaxes(2, 3)
        gp -= (gp * p).sum(axis=3, keepdims=True)
        gp *= p
        gp *= size**-0.5
        gq, gk = join(gp @ k), join(gp.swapaxes(2, 3) @ q)
        gh = gq @ wq.T
        gh += gk @ wk.T
        gh += gv @ wv.T
        gx, gw1, gb1 = normalize_back(gh, w1, h0, scale)
        inputs = [x for gy in (gq, gk, gv) for x in (h.T @ gy, gy.sum(axis=0))]
        return g + gx, [gw1, gb1, *inputs, gwp, gbp, gw2, gb2, gwu, gbu, gwd, gbd]

    def step():
        x = (token[task.x] + position).reshape(n * t, -1)
        kept = []
        for block in blocks:
            x, values = forward(x, *block)
            kept.append(values)
        y, y0, scale = normalize(x, wf, bf)
        loss, g = cross_entropy(dense(y, wo, bo), task.y.ravel())
        gwo, gbo = y.T @ g, g.sum(axis=0)
        g, gwf, gbf = normalize_back(g @ wo.T, wf, y0, scale)
        gradients = [gwf, gbf, gwo, gbo]
        for block, values in zip(reversed(blocks), reversed(kept)):
            g, more = backward(g, values, *block)
            gradients = more + gradients
        one_hot = (np.arange(len(token))[:, None] == task.x.ravel()).astype(g.dtype)
        update([one_hot @ g, g.reshape(n, t, -1).sum(axis=0), *gradients])
        return float(loss)

    return step


def adam(parameters, lr, decay=0.0, beta1=0.9, beta2=0.999, eps=1e-8):
    means, squares = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    steps = itertools.count(1)

    def update(gradients):
        k = next(steps)
        rate, root = lr / (1 - beta1**k), math.sqrt(1 - beta2**k)
        for p, g, mean, square in zip(parameters, gradients, means, squares):
            if decay:
                p *= 1 - lr * decay
            mean *= beta1
            mean += (1 - beta1) * g
            square *= beta2
            square += (1 - beta2) * g * g
            p -= rate * mean / (np.sqrt(square) / root + eps)

    return update


def optimizer_step(task):
    parameters = [w.copy() for w in task.weights]

    def sgd(gradients):
        for p, g in zip(parameters, gradients):
            p -= task.lr * g

    update = sgd if task.kind == "sgd" else adam(parameters, task.lr)
    return lambda: update(task.gradients) or parameters


WORKLOADS = {
    "mnist": mlp,
    "mnist-decay": mlp,
    "wide": mlp,
    "moons": mlp,
    "overhead": chain,
    "chain": chain,
    "conv": conv,
    "gpt": gpt,
    "sgd": optimizer_step,
    "adam": optimizer_step,
    "memory": mlp,
}
