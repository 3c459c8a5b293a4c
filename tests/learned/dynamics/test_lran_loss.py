"""The sequence loss against a loop over eq. 25, term by term."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from conjugo.learned.dynamics.lran import LRAN, LRANConfig
from conjugo.learned.dynamics.lran_loss import LRANLoss


def perturbed(config: LRANConfig, seed: int = 0) -> LRAN:
    """A network in float64 none of whose parameters is zero."""
    torch.manual_seed(seed)
    model = LRAN(config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def naive(model: LRAN, windows: Tensor, decay: float, beta: float, eps1: float, eps2: float) -> float:
    """Eq. 25 as it is printed."""
    T = windows.shape[1]
    total = 0.0
    for window in windows:
        z = model.encode(window[0])
        states = codes = 0.0
        for tau in range(T):
            x = model.decode(z)
            states += decay**tau * float(((x - window[tau]) ** 2).sum() / ((window[tau] ** 2).sum() + eps1))
            if tau:
                true = model.encode(window[tau])
                codes += decay ** (tau - 1) * float(((z - true) ** 2).sum() / ((true**2).sum() + eps2))
            z = z @ model.K
        N1, N2 = sum(decay**tau for tau in range(T)), sum(decay ** (tau - 1) for tau in range(1, T))
        total += (states / N1 + beta * codes / N2) / (1 + beta)
    return total / len(windows)


@pytest.mark.parametrize(("decay", "beta", "length"), [(0.8, 1.0, 7), (1.0, 0.3, 4), (0.5, 0.0, 2)])
def test_loss_is_equation_25(decay: float, beta: float, length: int) -> None:
    model = perturbed(LRANConfig(state=3, latent=4, encoder=(5,), decoder=(6, 5)))
    windows = torch.randn(6, length, 3, dtype=torch.float64)
    loss = LRANLoss(decay=decay, balance=beta, state_floor=0.1, code_floor=0.2)
    with torch.no_grad():
        assert float(loss(model, windows)) == pytest.approx(naive(model, windows, decay, beta, 0.1, 0.2), rel=1e-12)


def test_gradient_flows_through_the_targets() -> None:
    model = perturbed(LRANConfig(state=2, latent=2, encoder=(4,), decoder=()))
    windows = torch.randn(3, 3, 2, dtype=torch.float64)

    def value(weight: Tensor) -> Tensor:
        parameters = dict(model.named_parameters()) | {"skip_in.weight": weight}
        states, codes, targets = torch.func.functional_call(model, parameters, (windows,))
        return LRANLoss()(lambda _: (states, codes, targets), windows)  # type: ignore[arg-type]

    weight = model.skip_in.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(value, (weight,))


def test_known_kernel_codes_change_nothing() -> None:
    config = LRANConfig(state=2, latent=3, encoder=(4,), decoder=(4,), kernel="thin_plate", centres=5)
    model = perturbed(config)
    model.centres.normal_()
    model.kernel_weights.normal_()
    windows = torch.randn(4, 6, 2, dtype=torch.float64)
    loss = LRANLoss()
    with torch.no_grad():
        known = float(loss(model, (windows, model.kernel_code(windows))))
        assert known == pytest.approx(float(loss(model, windows)), rel=1e-14)


@pytest.mark.parametrize("wrong", [{"decay": 0.0}, {"decay": 1.5}, {"balance": -1.0}, {"state_floor": float("nan")}])
def test_bad_weights_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LRANLoss(**wrong)


def test_a_window_of_one_state_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        LRANLoss()(perturbed(LRANConfig(state=2, latent=2)), torch.zeros(1, 1, 2, dtype=torch.float64))
