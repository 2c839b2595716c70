from __future__ import annotations

import torch

from pipeline_spde.assimilation.gradient_net import GradientNet


def test_an_untrained_net_proposes_no_update() -> None:
    net = GradientNet(channels=6, days=3, hidden=4, pooling=2)
    update, memory = net(torch.randn(2, 6, 8, 8))
    assert update.shape == (2, 3, 8, 8)
    assert memory[0].shape == (2, 4, 4, 4)
    assert not update.any()


def test_cell_follows_the_lstm_equations() -> None:
    torch.manual_seed(0)
    net = GradientNet(channels=2, days=2, hidden=3, pooling=1)
    gradient, hidden, cell = (
        torch.randn(1, 2, 5, 5),
        torch.randn(1, 3, 5, 5),
        torch.randn(1, 3, 5, 5),
    )
    _, (new_hidden, new_cell) = net(gradient, (hidden, cell))
    enter, forget, leave, content = net.gates(torch.cat([gradient, hidden], 1)).split(3, dim=1)
    expected = forget.sigmoid() * cell + enter.sigmoid() * content.tanh()
    torch.testing.assert_close(new_cell, expected)
    torch.testing.assert_close(new_hidden, leave.sigmoid() * expected.tanh())


def test_nothing_is_kept_between_calls() -> None:
    torch.manual_seed(0)
    net = GradientNet(channels=2, days=2, hidden=3, pooling=2)
    with torch.no_grad():
        net.update.weight.normal_()
    gradient = torch.randn(1, 2, 4, 4)
    first, memory = net(gradient)
    again, _ = net(gradient)
    later, _ = net(gradient, memory)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    net = GradientNet(channels=40, days=2, hidden=3, pooling=1, dropout=0.5)
    gradient = torch.randn(1, 40, 4, 4)
    assert not torch.equal(net(gradient)[1][1], net(gradient)[1][1])
    net.eval()
    assert torch.equal(net(gradient)[1][1], net(gradient)[1][1])
