"""The discriminator around a body."""

from copy import deepcopy

import pytest
import torch

from mulligan.core.errors import UserError
from mulligan.nets import dcgan, mlp, resnet
from mulligan.nets.heads import Discriminator, concat_shape
from mulligan.parts.layers import batch_norms, side_by_side, spectral_norm

Y = torch.tensor([0, 2, 1, 2])


def _body(shape):
    return mlp.Body(shape, widths=(6,), dropout=0)


def test_plain_head_is_linear_in_the_features():
    D = Discriminator(_body((3, 4, 4)))
    x = torch.randn(4, 3, 4, 4)
    logits, features = D.logits_and_features(x)
    assert logits.shape == (4,)
    assert features.shape == (4, D.width) == (4, 6)
    assert torch.equal(features, D.features(x))
    assert torch.equal(logits, D(x))
    torch.testing.assert_close(logits, features @ D.head.weight[0] + D.head.bias)


def test_projection_adds_an_inner_product():
    D = Discriminator(_body((5,)), classes=3, conditioning="projection")
    x = torch.randn(4, 5)
    expected = D.head(D.features(x)).squeeze(1) + (D.embedding.weight[Y] * D.features(x)).sum(1)
    torch.testing.assert_close(D(x, Y), expected)
    with pytest.raises(UserError, match="labels"):
        D(x)


@pytest.mark.parametrize("shape", [(5,), (2, 8, 8)])
def test_concat_sees_the_label(shape):
    D = Discriminator(_body(concat_shape(shape, 3)), classes=3, conditioning="concat")
    x = torch.randn(4, *shape)
    assert not torch.allclose(D(x, Y), D(x, (Y + 1) % 3))
    assert D.features(x, Y).shape == (4, 6)
    with pytest.raises(UserError, match="labels"):
        D(x)


def test_concat_to_a_flat_body_appends_the_vector_once():
    D = Discriminator(_body(concat_shape((2 * 8 * 8,), 3)), classes=3, conditioning="concat")
    assert D(torch.randn(4, 2, 8, 8), Y).shape == (4,)


def test_auxiliary_classifies():
    D = Discriminator(_body((5,)), classes=3, conditioning="auxiliary")
    logits, features = D.logits_and_features(torch.randn(4, 5), Y)
    assert logits.shape == (4,)
    assert D.classify(features).shape == (4, 3)
    with pytest.raises(UserError, match="no classifier"):
        Discriminator(_body((5,))).classify(features)


@pytest.mark.parametrize("minibatch", ["discrimination", "stddev"])
def test_minibatch_layer_sees_the_batch_and_features_do_not(minibatch):
    D = Discriminator(_body((5,)), minibatch=minibatch)
    x = torch.randn(4, 5)
    y = torch.cat([x[:1], torch.randn(3, 5)])
    assert not torch.allclose(D(x)[0], D(y)[0])
    torch.testing.assert_close(D.features(x)[0], D.features(y)[0])


@pytest.mark.parametrize(
    ("make", "separable"),
    [
        (lambda: Discriminator(_body((3, 8, 8))), True),
        (lambda: Discriminator(mlp.Body((3, 8, 8), widths=(4,), dropout=0, norm=True)), False),
        (lambda: Discriminator(dcgan.Body((3, 16, 16), width=2)), True),
        (lambda: Discriminator(dcgan.Body((3, 16, 16), width=2)).eval(), True),
        (lambda: Discriminator(dcgan.Body((3, 16, 16), width=2, norm="layer")), True),
        (lambda: Discriminator(dcgan.Body((3, 8, 8), width=2)), True),
        (lambda: spectral_norm(Discriminator(resnet.Body((3, 8, 8), width=2))).eval(), True),
        (lambda: Discriminator(_body((3, 8, 8)), minibatch="stddev"), True),
        (lambda: Discriminator(_body((3, 8, 8)), minibatch="discrimination").eval(), False),
    ],
)
def test_separable_tells_the_truth(make, separable):
    torch.manual_seed(0)
    D = make()
    assert D.separable is separable
    shape = D.body.shape
    a, b = torch.randn(4, *shape), torch.randn(4, *shape) * 3 + 1
    with side_by_side(batch_norms(D), 2):
        together = D(torch.cat([a, b]))[:4]
    assert torch.allclose(together, D(a), atol=1e-5) is separable


def test_batches_side_by_side_are_batches_in_turn():
    """Logits, gradients and running statistics, in the order real, fake."""
    torch.manual_seed(0)
    D = Discriminator(dcgan.Body((3, 16, 16), width=4)).double()
    twin = deepcopy(D)
    a, b = torch.randn(4, 3, 16, 16).double(), torch.randn(4, 3, 16, 16).double() * 3 + 1
    with side_by_side(batch_norms(D), 2):
        together = D(torch.cat([a, b]))
    in_turn = torch.cat([twin(a), twin(b)])
    torch.testing.assert_close(together, in_turn)
    for logits in (together, in_turn):
        logits.sin().sum().backward()
    for (name, found), expected in zip(D.named_parameters(), twin.parameters()):
        torch.testing.assert_close(found.grad, expected.grad, msg=name)
    for (name, found), expected in zip(D.named_buffers(), twin.buffers()):
        torch.testing.assert_close(found, expected, msg=name)
    assert torch.equal(D(a), twin(a)), "afterwards a pass is one batch again"
    assert not torch.allclose(D(torch.cat([a, b]))[:4], D(a)), "a batch by itself sees its own statistics"


def test_spectral_norm_reaches_head_and_embedding():
    D = spectral_norm(Discriminator(resnet.Body((3, 8, 8), width=4), classes=3, conditioning="projection"))
    keys = {key.split(".parametrizations")[0] for key in D.state_dict() if key.endswith(".u")}
    assert {"head", "embedding", "body.blocks.0.conv1", "body.blocks.0.shortcut"} <= keys
    D(torch.randn(4, 3, 8, 8), Y).sum().backward()
    assert all(p.grad is not None for p in D.parameters())
