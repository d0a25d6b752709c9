"""Wrong versions of Muon that people write, each with what a good teacher would say."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reference.parts.muon import orthogonalize

A, B, C = 3.4445, -4.7750, 2.0315


# --- what the versions below share ---


def _checked(g: Tensor, steps: int) -> None:
    if not isinstance(g, Tensor) or not g.is_floating_point():
        raise TypeError("g should be a floating-point tensor")
    if not isinstance(steps, int):
        raise TypeError(f"steps should be an int, not {type(steps).__name__}")
    if g.ndim < 2:
        raise ValueError(f"g should be (..., m, n), not {tuple(g.shape)}")
    if steps < 0:
        raise ValueError(f"steps should be at least 0, not {steps}")


def _sized(x: Tensor) -> Tensor:
    return x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)


def _iterated(x: Tensor, steps: int, a: float = A, b: float = B, c: float = C) -> Tensor:
    for _ in range(steps):
        s = x @ x.mT
        x = a * x + (b * s + c * s @ s) @ x
    return x


def _plain(g: Tensor):
    return torch.autocast(device_type=g.device.type, enabled=False)


def _checked_step(weight: Tensor, grad: Tensor, momentum_buffer: Tensor, lr: float, momentum: float) -> None:
    for name, tensor in (("weight", weight), ("grad", grad), ("momentum_buffer", momentum_buffer)):
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise TypeError(f"{name} should be a floating-point tensor")
        if tensor.ndim < 2 or tensor.shape != weight.shape:
            raise ValueError(f"{name} should be (..., m, n), like the others, not {tuple(tensor.shape)}")
    if not lr >= 0:
        raise ValueError(f"lr should be at least 0, not {lr}")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum should lie in [0, 1), not {momentum}")


def _wide(*tensors: Tensor) -> list[Tensor]:
    dtype = tensors[0].dtype
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]


def _factor(weight: Tensor) -> float:
    return math.sqrt(max(1, weight.shape[-2] / weight.shape[-1]))


# --- orthogonalize: the norm ---


def orthogonalize__no_normalization(g: Tensor, steps: int = 5) -> Tensor:
    """You do not divide by the Frobenius norm. The polynomial tames values between 0 and 1 and blows up all others."""
    _checked(g, steps)
    with _plain(g):
        x = _iterated(g.mT if g.shape[-2] > g.shape[-1] else g.clone(), steps)
        return x.mT if g.shape[-2] > g.shape[-1] else x


def orthogonalize__norm_over_the_stack(g: Tensor, steps: int = 5) -> Tensor:
    """You divide the whole stack by one norm: a small matrix beside a large one then starts near zero.

    Every matrix has a norm of its own.
    """
    _checked(g, steps)
    with _plain(g):
        tall = g.shape[-2] > g.shape[-1]
        x = g / (g.norm() + 1e-7)
        x = _iterated(x.mT if tall else x, steps)
        return x.mT if tall else x


def orthogonalize__spectral_norm(g: Tensor, steps: int = 5) -> Tensor:
    """You divide by the largest singular value. The contract asks for the Frobenius norm, which needs none.

    It is the root of the sum of all squares.
    """
    _checked(g, steps)
    with _plain(g):
        x = g.float()
        tall = g.shape[-2] > g.shape[-1]
        x = x / (torch.linalg.matrix_norm(x, ord=2, keepdim=True) + 1e-7)
        x = _iterated(x.mT if tall else x, steps)
        return (x.mT if tall else x).to(g.dtype)


def orthogonalize__rows_normalized(g: Tensor, steps: int = 5) -> Tensor:
    """You divide every row by its own norm. That turns the singular vectors; one number per matrix keeps them."""
    _checked(g, steps)
    with _plain(g):
        tall = g.shape[-2] > g.shape[-1]
        x = g / (g.norm(dim=-1, keepdim=True) + 1e-7)
        x = _iterated(x.mT if tall else x, steps)
        return x.mT if tall else x


def orthogonalize__not_a_root(g: Tensor, steps: int = 5) -> Tensor:
    """You divide by the sum of the squares; the Frobenius norm is its root."""
    _checked(g, steps)
    with _plain(g):
        tall = g.shape[-2] > g.shape[-1]
        x = g / (g.square().sum(dim=(-2, -1), keepdim=True) + 1e-7)
        x = _iterated(x.mT if tall else x, steps)
        return x.mT if tall else x


def orthogonalize__no_constant(g: Tensor, steps: int = 5) -> Tensor:
    """You divide by the bare norm. Of a matrix of zeros that makes 0/0, which is NaN: the 1e-7 is missing."""
    _checked(g, steps)
    with _plain(g):
        tall = g.shape[-2] > g.shape[-1]
        x = g / g.norm(dim=(-2, -1), keepdim=True)
        x = _iterated(x.mT if tall else x, steps)
        return x.mT if tall else x


def orthogonalize__constant_as_a_floor(g: Tensor, steps: int = 5) -> Tensor:
    """You take 1e-7 as the least value of the norm. Here it is added to it, whatever the norm is."""
    _checked(g, steps)
    with _plain(g):
        tall = g.shape[-2] > g.shape[-1]
        x = g / g.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
        x = _iterated(x.mT if tall else x, steps)
        return x.mT if tall else x


# --- orthogonalize: the iteration ---


def orthogonalize__b_and_c_swapped(g: Tensor, steps: int = 5) -> Tensor:
    """You have swapped b and c: the cube is to be taken off, the fifth power added."""
    _checked(g, steps)
    with _plain(g):
        tall = g.shape[-2] > g.shape[-1]
        x = _iterated(_sized(g.mT if tall else g), steps, b=C, c=B)
        return x.mT if tall else x


def orthogonalize__one_step_fewer(g: Tensor, steps: int = 5) -> Tensor:
    """You iterate one time too few: `steps` says how often, 5 means five times."""
    _checked(g, steps)
    return orthogonalize(g, max(0, steps - 1))


def orthogonalize__always_five(g: Tensor, steps: int = 5) -> Tensor:
    """You iterate five times whatever `steps` says."""
    _checked(g, steps)
    return orthogonalize(g, 5)


def orthogonalize__classic_coefficients(g: Tensor, steps: int = 5) -> Tensor:
    """You use the classic coefficients 1.5 and -0.5, which creep: from 0.01 to 0.08 in five steps, not to 0.70.

    The three numbers of the contract give up exactness at 1 for speed at 0.
    """
    _checked(g, steps)
    with _plain(g):
        tall = g.shape[-2] > g.shape[-1]
        x = _iterated(_sized(g.mT if tall else g), steps, 1.5, -0.5, 0.0)
        return x.mT if tall else x


def orthogonalize__exactly_orthogonal(g: Tensor, steps: int = 5) -> Tensor:
    """You set every singular value to exactly 1. That is the goal in theory, but the contract asks for the polynomial.

    It leaves them between 0.68 and 1.21, needs no decomposition, and keeps what is zero at zero.
    """
    _checked(g, steps)
    with _plain(g):
        u, _, vh = torch.linalg.svd(g.float(), full_matrices=False)
        return (u @ vh).to(g.dtype)


def orthogonalize__entries_squared(g: Tensor, steps: int = 5) -> Tensor:
    """You square A entry by entry (`A * A` or `A**2`); A A is a product of matrices."""
    _checked(g, steps)
    with _plain(g):
        tall = g.shape[-2] > g.shape[-1]
        x = _sized(g.mT if tall else g)
        for _ in range(steps):
            s = x @ x.mT
            x = A * x + (B * s + C * s * s) @ x
        return x.mT if tall else x


def orthogonalize__gram_not_renewed(g: Tensor, steps: int = 5) -> Tensor:
    """You compute A = X X^T once, before the loop. X changes in every step, and A with it."""
    _checked(g, steps)
    with _plain(g):
        tall = g.shape[-2] > g.shape[-1]
        x = _sized(g.mT if tall else g)
        s = x @ x.mT
        for _ in range(steps):
            x = A * x + (B * s + C * s @ s) @ x
        return x.mT if tall else x


def orthogonalize__first_term_missing(g: Tensor, steps: int = 5) -> Tensor:
    """You have left out a X: without it small singular values shrink from step to step when they should grow."""
    _checked(g, steps)
    with _plain(g):
        tall = g.shape[-2] > g.shape[-1]
        x = _iterated(_sized(g.mT if tall else g), steps, a=0.0)
        return x.mT if tall else x


def orthogonalize__gram_of_the_wrong_side(g: Tensor, steps: int = 5) -> Tensor:
    """You multiply by X^T X from the left. It belongs on the right; what belongs on the left is X X^T."""
    _checked(g, steps)
    with _plain(g):
        tall = g.shape[-2] > g.shape[-1]
        x = _sized(g.mT if tall else g)
        for _ in range(steps):
            s = x.mT @ x
            x = A * x + (B * s + C * s @ s) @ x
        return x.mT if tall else x


# --- orthogonalize: shapes and dtypes ---


def orthogonalize__not_transposed_back(g: Tensor, steps: int = 5) -> Tensor:
    """You transpose tall matrices for the work and do not transpose them back."""
    _checked(g, steps)
    y = orthogonalize(g, steps)
    return y.mT if g.shape[-2] > g.shape[-1] else y


def orthogonalize__stack_as_one_matrix(g: Tensor, steps: int = 5) -> Tensor:
    """You lay all matrices of a stack under each other and treat them as one tall matrix. Each stands alone."""
    _checked(g, steps)
    return orthogonalize(g.reshape(-1, g.shape[-1]), steps).reshape(g.shape)


def orthogonalize__always_in_bfloat16(g: Tensor, steps: int = 5) -> Tensor:
    """You work in bfloat16 whatever came in, as many published versions do. Here nothing narrower than g's own dtype.

    bfloat16 has 8 bits: what comes out is off by some percent.
    """
    _checked(g, steps)
    return orthogonalize(g.bfloat16(), steps).to(g.dtype)


def orthogonalize__returns_float32(g: Tensor, steps: int = 5) -> Tensor:
    """Your result is float32 whatever came in. To work wider is fine, but give back g's own dtype."""
    _checked(g, steps)
    return orthogonalize(g.float(), steps)


def orthogonalize__autocast_inside(g: Tensor, steps: int = 5) -> Tensor:
    """Your matrix products obey autocast: inside a training step that runs in bfloat16 they silently become bfloat16.

    Switch it off around them.
    """
    _checked(g, steps)
    tall = g.shape[-2] > g.shape[-1]
    x = _iterated(_sized(g.mT if tall else g), steps).to(g.dtype)
    return x.mT if tall else x


# --- muon_step: momentum ---


def _step(weight: Tensor, look: Tensor, buffer: Tensor, like: tuple[Tensor, ...], lr: float, steps: int):
    """The rest of a step, once its look-ahead and its buffer are there."""
    (old, grad, old_buffer) = like
    direction = orthogonalize(look.to(grad.dtype), steps)
    new = weight - lr * _factor(old) * direction.to(weight.dtype)
    return new.to(old.dtype), buffer.to(old_buffer.dtype, copy=True)


def muon_step__no_nesterov(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """You orthogonalize the buffer itself. Nesterov's look-ahead mixes the gradient in a second time.

    It does so with the buffer as it is after its update; with the old one you get just the new buffer again.
    """
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    w, g, b = _wide(weight, grad, momentum_buffer)
    b = momentum * b + (1 - momentum) * g
    return _step(w, b, b, (weight, grad, momentum_buffer), lr, steps)


def muon_step__nesterov_weights_swapped(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """Your look-ahead takes `momentum` of the gradient and the rest of the buffer; it is the other way round."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    w, g, b = _wide(weight, grad, momentum_buffer)
    b = momentum * b + (1 - momentum) * g
    return _step(w, momentum * g + (1 - momentum) * b, b, (weight, grad, momentum_buffer), lr, steps)


def muon_step__whole_gradient_in_the_look_ahead(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """Your look-ahead adds the whole gradient; only (1 - momentum) of it is due, as in the buffer."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    w, g, b = _wide(weight, grad, momentum_buffer)
    b = momentum * b + (1 - momentum) * g
    return _step(w, g + momentum * b, b, (weight, grad, momentum_buffer), lr, steps)


def muon_step__summing_momentum(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """Your buffer adds the whole gradient each time, as SGD's does. Here it takes only (1 - momentum) of it."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    w, g, b = _wide(weight, grad, momentum_buffer)
    b = momentum * b + g
    return _step(w, g + momentum * b, b, (weight, grad, momentum_buffer), lr, steps)


def muon_step__momentum_of_the_gradient(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """Your buffer takes `momentum` of the new gradient and keeps the rest of itself: with 0.95 it forgets at once."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    w, g, b = _wide(weight, grad, momentum_buffer)
    b = (1 - momentum) * b + momentum * g
    return _step(w, (1 - momentum) * g + momentum * b, b, (weight, grad, momentum_buffer), lr, steps)


def muon_step__buffer_not_kept(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """You return the old buffer: the next step will know nothing of this gradient."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    w, g, b = _wide(weight, grad, momentum_buffer)
    b = momentum * b + (1 - momentum) * g
    look = (1 - momentum) * g + momentum * b
    return _step(w, look, momentum_buffer.clone(), (weight, grad, momentum_buffer), lr, steps)


def muon_step__look_ahead_kept(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """You return the look-ahead as the new buffer. It is made for this step alone; the buffer is what went into it."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    w, g, b = _wide(weight, grad, momentum_buffer)
    b = momentum * b + (1 - momentum) * g
    look = (1 - momentum) * g + momentum * b
    return _step(w, look, look, (weight, grad, momentum_buffer), lr, steps)


def muon_step__orthogonalizes_before_the_momentum(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """You orthogonalize the gradient and then average. The momentum comes first: noise is averaged away, then the
    singular values are evened out."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    w, g, b = _wide(weight, orthogonalize(grad, steps), momentum_buffer)
    b = momentum * b + (1 - momentum) * g
    look = (1 - momentum) * g + momentum * b
    return (w - lr * _factor(weight) * look).to(weight.dtype), b.to(momentum_buffer.dtype, copy=True)


# --- muon_step: the update ---


def _with_rate(weight, grad, momentum_buffer, momentum, steps, rate, shrink=1.0):
    """A right step but for its size: weight * shrink - rate * direction."""
    w, g, b = _wide(weight, grad, momentum_buffer)
    b = momentum * b + (1 - momentum) * g
    direction = orthogonalize(((1 - momentum) * g + momentum * b).to(grad.dtype), steps)
    return (shrink * w - rate * direction).to(weight.dtype), b.to(momentum_buffer.dtype, copy=True)


def muon_step__no_factor(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """The factor sqrt(max(1, m / n)) is missing: tall matrices take too short a step."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    return _with_rate(weight, grad, momentum_buffer, momentum, steps, lr)


def muon_step__factor_upside_down(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """Your factor has n over m: wide matrices take the longer step. m, the output features, is the first of the two."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    m, n = weight.shape[-2:]
    return _with_rate(weight, grad, momentum_buffer, momentum, steps, lr * math.sqrt(max(1, n / m)))


def muon_step__factor_without_root(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """Your factor is max(1, m / n) itself; the root of it is due."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    return _with_rate(weight, grad, momentum_buffer, momentum, steps, lr * _factor(weight) ** 2)


def muon_step__factor_below_one(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """Your factor is sqrt(m / n) also where that is below 1: wide matrices take too short a step."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    m, n = weight.shape[-2:]
    return _with_rate(weight, grad, momentum_buffer, momentum, steps, lr * math.sqrt(m / n))


def muon_step__factor_of_the_first_axes(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """You read m and n from the first two axes. In a stack the matrix is the last two."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    m, n = weight.shape[:2]
    return _with_rate(weight, grad, momentum_buffer, momentum, steps, lr * math.sqrt(max(1, m / n)))


def muon_step__factor_for_adam(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """Your factor is 0.2 sqrt(max(m, n)), another convention, which lends Muon the learning rates of AdamW."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    m, n = weight.shape[-2:]
    return _with_rate(weight, grad, momentum_buffer, momentum, steps, lr * 0.2 * math.sqrt(max(m, n)))


def muon_step__climbs(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """You add the direction. The gradient points uphill, so a step down subtracts it."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    return _with_rate(weight, grad, momentum_buffer, momentum, steps, -lr * _factor(weight))


def muon_step__weight_decay(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """You shrink the weight by lr * 0.1, the weight decay that PyTorch's Muon has by default. Here there is none."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    rate = lr * _factor(weight)
    return _with_rate(weight, grad, momentum_buffer, momentum, steps, rate, 1 - 0.1 * lr)


def muon_step__plain_momentum(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """You never call orthogonalize: this is SGD with Nesterov momentum."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    w, g, b = _wide(weight, grad, momentum_buffer)
    if steps < 0:
        raise ValueError(f"steps should be at least 0, not {steps}")
    b = momentum * b + (1 - momentum) * g
    look = (1 - momentum) * g + momentum * b
    return (w - lr * _factor(weight) * look).to(weight.dtype), b.to(momentum_buffer.dtype, copy=True)


def muon_step__steps_not_passed_on(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """You do not pass `steps` on to orthogonalize, which then takes its default of five."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    if steps < 0:
        raise ValueError(f"steps should be at least 0, not {steps}")
    return _with_rate(weight, grad, momentum_buffer, momentum, 5, lr * _factor(weight))


def muon_step__in_place(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """You update weight and buffer in place, as an optimizer does. This is a function: it returns new tensors."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    new, b = _with_rate(weight, grad, momentum_buffer, momentum, steps, lr * _factor(weight))
    return weight.copy_(new), momentum_buffer.copy_(b)


# --- muon_step: dtypes ---


def muon_step__dtypes_not_kept(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """Your results have the widest dtype involved. Weight and buffer go back in the dtypes that they came in."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    w, g, b = _wide(weight, grad, momentum_buffer)
    b = momentum * b + (1 - momentum) * g
    direction = orthogonalize(((1 - momentum) * g + momentum * b).to(grad.dtype), steps)
    return w - lr * _factor(weight) * direction.to(w.dtype), b


def muon_step__weight_in_the_gradients_dtype(weight, grad, momentum_buffer, *, lr, momentum=0.95, steps=5):
    """You subtract in the gradient's dtype: in bfloat16 a small step rounds away, and the weight's digits with it."""
    _checked_step(weight, grad, momentum_buffer, lr, momentum)
    _, g, b = _wide(weight, grad, momentum_buffer)
    b = momentum * b + (1 - momentum) * g
    direction = orthogonalize(((1 - momentum) * g + momentum * b).to(grad.dtype), steps)
    new = weight.to(grad.dtype) - lr * _factor(weight) * direction
    return new.to(weight.dtype), b.to(momentum_buffer.dtype, copy=True)
