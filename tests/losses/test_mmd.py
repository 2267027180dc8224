import itertools
import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from altercell.losses import TRVAE_WIDTHS, mmd_between_conditions
from altercell.losses._mmd import _squared_distances

WIDTHS = (0.5, 2.0, 30.0)


def kernel(a: np.ndarray, b: np.ndarray, widths: tuple[float, ...], mean: bool) -> float:
    square = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    terms = [math.exp(-square / (2 * width)) for width in widths]
    return sum(terms) / len(terms) if mean else sum(terms)


def stated(y: np.ndarray, conditions: list[int], widths: tuple[float, ...], mean: bool, unbiased: bool) -> float:
    """Equations 2 and 3, cell by cell and pair by pair; the U-statistic of Gretton et al. (2012), equation 3."""
    groups = [y[np.asarray(conditions) == code] for code in sorted(set(conditions))]
    groups = [group for group in groups if len(group) > unbiased]

    def within(group: np.ndarray) -> float:
        n, total = len(group), 0.0
        for i in range(n):
            for j in range(n):
                if i != j or not unbiased:
                    total += kernel(group[i], group[j], widths, mean)
        return total / (n * (n - 1) if unbiased else n * n)

    def between(group: np.ndarray, other: np.ndarray) -> float:
        return sum(kernel(a, b, widths, mean) for a in group for b in other) / (len(group) * len(other))

    return sum(within(a) + within(b) - 2 * between(a, b) for a, b in itertools.combinations(groups, 2))


def batch(conditions: list[int], n_dims: int = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(len(conditions), n_dims)) + 0.7 * np.asarray(conditions)[:, None]


HELD = {
    "two": [0, 1, 1, 0, 1],
    "several, unordered": [2, 0, 1, 1, 2, 0, 0, 2, 3, 3, 1],
    "some are missing": [5, 1, 1, 5, 3, 1, 5, 3],
    "some have one cell": [0, 4, 1, 1, 2, 2, 1],
    "two, one of one cell": [0, 0, 0, 1],
    "all have one cell": [3, 0, 2],
}


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("conditions", HELD.values(), ids=HELD)
@pytest.mark.parametrize("widths", [WIDTHS, TRVAE_WIDTHS], ids=["few", "trvae"])
def test_against_double_loops_over_cells_and_pairs(conditions, mean, unbiased, widths):
    y = batch(conditions)
    wanted = stated(y, conditions, widths, mean, unbiased)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 3e-6)):
        got = mmd_between_conditions(
            torch.tensor(y, dtype=dtype),
            torch.tensor(conditions),
            7,
            widths=widths,
            kernel_mean=mean,
            unbiased=unbiased,
        )
        assert got.dtype == dtype
        assert got.shape == ()
        np.testing.assert_allclose(got.item(), wanted, rtol=tolerance, atol=tolerance * len(widths))


def test_the_defaults_are_those_of_the_published_code():
    conditions = HELD["several, unordered"]
    y = batch(conditions)
    widths = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 5, 10, 15, 20, 25, 30, 35, 100, 1e3, 1e4, 1e5, 1e6]
    got = mmd_between_conditions(torch.tensor(y), torch.tensor(conditions), 4)
    np.testing.assert_allclose(got, stated(y, conditions, tuple(widths), mean=True, unbiased=False), rtol=1e-12)


def test_the_sum_of_the_kernels_is_so_many_times_their_mean():
    y, conditions = torch.tensor(batch(HELD["two"])), torch.tensor(HELD["two"])
    ratio = mmd_between_conditions(y, conditions, 2, kernel_mean=False) / mmd_between_conditions(y, conditions, 2)
    np.testing.assert_allclose(ratio, 19, rtol=1e-12)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("conditions", HELD.values(), ids=HELD)
def test_the_gradient_is_that_of_the_value(conditions, unbiased):
    y = torch.tensor(batch(conditions), requires_grad=True)
    codes = torch.tensor(conditions)
    for mean in (False, True):
        assert gradcheck(
            lambda cells, mean=mean: mmd_between_conditions(
                cells, codes, 7, widths=WIDTHS, kernel_mean=mean, unbiased=unbiased
            ),
            [y],
        )


def test_the_gradient_scales_with_what_follows():
    codes = torch.tensor(HELD["two"])
    y = torch.tensor(batch(HELD["two"]), requires_grad=True)
    assert gradcheck(lambda cells: (3 * mmd_between_conditions(cells, codes, 2, widths=WIDTHS)).exp(), [y])


def test_a_second_derivative_is_refused():
    y = torch.tensor(batch(HELD["two"]), requires_grad=True)
    value = mmd_between_conditions(y, torch.tensor(HELD["two"]), 2)
    with pytest.raises(RuntimeError, match="can be differentiated once"):
        torch.autograd.grad(value, y, create_graph=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cells_that_coincide(dtype):
    conditions = [0, 0, 1, 1, 1, 0]
    y = batch(conditions, n_dims=20)
    y[[2, 4, 5]] = y[0]  # within a condition and across
    cells = torch.tensor(y, dtype=dtype, requires_grad=True)
    value = mmd_between_conditions(cells, torch.tensor(conditions), 2)
    value.backward()
    wanted = stated(y, conditions, TRVAE_WIDTHS, mean=True, unbiased=False)
    np.testing.assert_allclose(value.item(), wanted, rtol=1e-5)
    step = 1e-5
    for row, column in ((0, 0), (1, 3), (4, 7)):  # coinciding cells are at a maximum of the kernel: no pull
        sides = []
        for sign in (1, -1):
            moved = y.copy()
            moved[row, column] += sign * step
            sides.append(stated(moved, conditions, TRVAE_WIDTHS, mean=True, unbiased=False))
        wanted = (sides[0] - sides[1]) / (2 * step)
        np.testing.assert_allclose(cells.grad[row, column].item(), wanted, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identical_sets_have_no_discrepancy(dtype):
    part = torch.tensor(np.random.default_rng(3).normal(size=(9, 40)), dtype=dtype)
    cells = torch.cat([part, part[torch.randperm(9, generator=torch.Generator().manual_seed(0))], part])
    cells.requires_grad_()
    conditions = torch.arange(3).repeat_interleave(9)
    value = mmd_between_conditions(cells, conditions, 3)
    value.backward()
    assert abs(value.item()) < 20 * torch.finfo(dtype).eps
    assert cells.grad.abs().max() < 20 * torch.finfo(dtype).eps


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize(("mean", "wanted"), [(True, 2.0), (False, 6.0)])
def test_two_far_point_masses(unbiased, mean, wanted):
    y = torch.zeros(7, 2)
    y[3:] = 1e4
    conditions = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    got = mmd_between_conditions(y, conditions, 2, widths=WIDTHS, kernel_mean=mean, unbiased=unbiased)
    assert got.item() == pytest.approx(wanted, rel=1e-6)


def test_two_cells_at_a_known_distance():
    y = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    got = mmd_between_conditions(y, torch.tensor([0, 1]), 2, widths=[10.0])
    assert got.item() == pytest.approx(2 - 2 * math.exp(-25 / 20), rel=1e-14)


def test_cells_and_names_of_conditions_may_be_permuted():
    conditions = np.array(HELD["several, unordered"])
    y = batch(list(conditions))
    first = mmd_between_conditions(torch.tensor(y), torch.tensor(conditions), 4)
    rng = np.random.default_rng(5)
    for _ in range(5):
        order, names = rng.permutation(len(y)), rng.permutation(4)
        got = mmd_between_conditions(torch.tensor(y[order]), torch.tensor(names[conditions[order]]), 4)
        np.testing.assert_allclose(got, first, rtol=1e-12)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("conditions", [[2, 2, 2, 2], [1], []], ids=["one condition", "one cell", "no cell"])
def test_fewer_than_two_conditions_give_a_zero_that_has_a_gradient(conditions, unbiased):
    y = torch.ones(len(conditions), 3).cumsum(0).requires_grad_()
    value = mmd_between_conditions(y, torch.tensor(conditions, dtype=torch.int64), 4, unbiased=unbiased)
    assert value.item() == 0
    value.backward()
    assert y.grad.shape == y.shape
    assert not y.grad.any()


def test_a_condition_of_one_cell_is_left_out_of_the_u_statistic():
    y, conditions = torch.tensor(batch([0, 0, 1, 1, 2]), requires_grad=True), torch.tensor([0, 0, 1, 1, 2])
    value = mmd_between_conditions(y, conditions, 3, unbiased=True)
    value.backward()
    torch.testing.assert_close(value, mmd_between_conditions(y[:4], conditions[:4], 3, unbiased=True))
    assert not y.grad[4].any()
    assert y.grad[:4].all()


def test_codes_as_a_column_and_cells_in_any_layout():
    y, conditions = torch.tensor(batch(HELD["two"])), torch.tensor(HELD["two"])
    wanted = mmd_between_conditions(y, conditions, 2)
    torch.testing.assert_close(mmd_between_conditions(y, conditions[:, None], 2), wanted)
    turned = y.T.contiguous().T
    assert not turned.is_contiguous()
    torch.testing.assert_close(mmd_between_conditions(turned, conditions, 2), wanted)


def test_half_precision_is_computed_in_single():
    y = torch.tensor(batch(HELD["two"]), dtype=torch.bfloat16, requires_grad=True)
    value = mmd_between_conditions(y, torch.tensor(HELD["two"]), 2)
    value.backward()
    torch.testing.assert_close(value, mmd_between_conditions(y.float(), torch.tensor(HELD["two"]), 2))
    assert y.grad.dtype == torch.bfloat16


def test_single_precision_is_as_good_as_double_on_a_batch_of_training():
    generator = torch.Generator().manual_seed(0)
    conditions = torch.arange(512) % 10
    y = 1e3 + torch.randn(512, 128, generator=generator) + 0.03 * conditions[:, None]
    found = []
    for dtype in (torch.float32, torch.float64):
        cells = y.to(dtype).requires_grad_()
        value = mmd_between_conditions(cells, conditions, 10)
        found.append((value.item(), *torch.autograd.grad(value, cells)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert (found[0][1] - found[1][1]).norm() < 1e-5 * found[1][1].norm()


def test_distances_where_there_is_no_pdist_are_the_same(monkeypatch):
    y = torch.tensor(batch(HELD["several, unordered"], n_dims=30), dtype=torch.float32)
    y[3] = y[1]
    wanted = _squared_distances(y)
    monkeypatch.setattr("altercell.losses._mmd._PDIST_DEVICES", ())
    torch.testing.assert_close(_squared_distances(y), wanted)
    assert torch.equal(_squared_distances(y) == 0, wanted == 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_what_the_processor_gives():
    y, conditions = torch.tensor(batch(HELD["some are missing"])), torch.tensor(HELD["some are missing"])
    found = []
    for device in ("cpu", "cuda"):
        cells = y.to(device).requires_grad_()
        value = mmd_between_conditions(cells, conditions.to(device), 7)
        value.backward()
        found.append((value.item(), cells.grad.cpu()))
    torch.testing.assert_close(found[1], found[0])


def test_a_code_out_of_range_is_refused():
    with pytest.raises(RuntimeError, match=r"[Cc]lass values must be"):
        mmd_between_conditions(torch.zeros(3, 2), torch.tensor([0, 1, 2]), 2)


def test_autocast_does_not_round_it():
    y = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    codes = torch.arange(60) % 3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = mmd_between_conditions(y, codes, 3)
    torch.testing.assert_close(rounded, mmd_between_conditions(y, codes, 3), rtol=1e-6, atol=0)
