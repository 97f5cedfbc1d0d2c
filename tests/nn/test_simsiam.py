"""SimSiam's head over the samples that have the modality."""

import torch
from torch import nn

from mitr.nn.simsiam import SimSiamHead

PRESENT = torch.tensor([True, False, True, True, False, True])


def made() -> tuple[SimSiamHead, torch.Tensor]:
    torch.manual_seed(0)
    return SimSiamHead(8, 4), torch.randn(6, 8) + 2


def test_absent_samples_are_zero_and_change_nothing() -> None:
    head, z = made()
    target, prediction = head(z, PRESENT)
    assert target.shape == prediction.shape == (6, 8)
    assert not target[~PRESENT].any()
    assert not prediction[~PRESENT].any()
    other = torch.where(PRESENT[:, None], z, 1e6)
    for ours, theirs in zip(head(other, PRESENT), (target, prediction), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_it_is_pytorchs_layers_over_the_present_samples() -> None:
    head, z = made()
    norm, inner = nn.BatchNorm1d(8, affine=False), nn.BatchNorm1d(4)
    target = norm(head.project(z[PRESENT]))
    prediction = head.predict_out(torch.relu(inner(head.predict_in(target))))
    ours = head(z, PRESENT)
    torch.testing.assert_close(ours[0][PRESENT], target)
    torch.testing.assert_close(ours[1][PRESENT], prediction)
    torch.testing.assert_close(head.predict_norm.running_var, inner.running_var)


def test_targets_have_mean_0_and_variance_1_in_training() -> None:
    head, z = made()
    target = head(z, PRESENT)[0][PRESENT]
    torch.testing.assert_close(target.mean(dim=0), torch.zeros(8), rtol=0, atol=1e-5)
    torch.testing.assert_close(target.var(dim=0, unbiased=False), torch.ones(8), rtol=1e-3, atol=1e-3)


def test_its_parameters() -> None:
    shapes = {name: tuple(p.shape) for name, p in SimSiamHead().named_parameters()}
    assert shapes == {
        "project.weight": (100, 100),
        "project.bias": (100,),
        "predict_in.weight": (50, 100),
        "predict_norm.weight": (50,),
        "predict_norm.bias": (50,),
        "predict_out.weight": (100, 50),
        "predict_out.bias": (100,),
    }


def test_one_sample_or_none() -> None:
    head, z = made()
    for present in (torch.arange(6) == 2, torch.zeros(6, dtype=torch.bool)):
        for out in head(z, present):
            assert out.isfinite().all()
            assert (out.any(dim=1) == present).all()
