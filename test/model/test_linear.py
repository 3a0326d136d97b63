import pytest
import torch

from cotracker_ros.model.linear import Linear


@pytest.mark.parametrize("shape", [(3, 4, 24), (300, 24), (7, 100, 24), (0, 24)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_detour_gives_the_same_numbers(shape, dtype):
    torch.manual_seed(0)
    layer, x = Linear(24, 10).to(dtype), torch.randn(shape).to(dtype)
    known = torch.nn.functional.linear(x, layer.weight, layer.bias)
    with torch.no_grad():
        y = layer(x)
    assert y.shape == known.shape
    assert torch.allclose(y, known, atol=1e-5)
    assert layer(x).requires_grad
