"""The network gives the published network's numbers: 1e-9 in double precision, 5e-4 px and 5e-5 in single."""

import pytest
import torch
from reference import OFFLINE, arrays, clip, largest_difference, recipe_network

from cotracker_ros.model import CoTracker3, CoTracker3Config, grid
from cotracker_ros.model.correlation import correlation_volume
from cotracker_ros.model.cotracker3 import new_estimates
from cotracker_ros.model.encoder import normalise_features
from cotracker_ros.model.encodings import motion_encoding, resample_time_embedding, time_embedding

PX, PROBABILITY, DOUBLE = 5e-4, 5e-5, 1e-9
NAMES = ("tracks", "vis", "conf")


def check(prediction, expected, prefix, limits):
    for actual, name, limit in zip(prediction, NAMES, limits, strict=True):
        assert largest_difference(actual, expected[prefix + name]) < limit, name


@pytest.mark.parametrize("length", [10, 16, 24, 37])
def test_online_network_equals_the_published_one(online, length):
    expected = arrays("outputs")
    queries = torch.from_numpy(expected[f"plain/T{length}_queries"])
    check(online(clip(length), queries), expected, f"plain/T{length}_", (PX, PROBABILITY, PROBABILITY))


@pytest.mark.parametrize("length", [1, 24, 66])
def test_offline_network_equals_the_published_one(offline, length):
    expected = arrays("outputs")
    queries = torch.from_numpy(expected[f"offline/T{length}_queries"])
    check(offline(clip(length), queries), expected, f"offline/T{length}_", (PX, PROBABILITY, PROBABILITY))


def test_double_precision_leaves_no_doubt():
    expected, outputs = arrays("float64"), arrays("outputs")
    online, offline = recipe_network().double(), recipe_network(OFFLINE).double()
    for model, kind, name, length in ((online, "online", "plain", 24), (offline, "offline", "offline", 24)):
        queries = torch.from_numpy(outputs[f"{name}/T{length}_queries"]).double()
        check(model(clip(length).double(), queries), expected, f"{kind}_T{length}_", (DOUBLE,) * 3)


def test_every_iteration_of_every_window(online):
    expected = arrays("outputs")
    windows = list(online.windows(clip(21)[0], torch.from_numpy(expected["iterations/queries"][0])))
    assert len(windows) == 2
    for w, window in enumerate(windows):
        for i, estimates in enumerate(window.iterations):
            prefix = f"iterations/w{w}_i{i}_"
            length = expected[prefix + "vis"].shape[1]
            xy, *logits = (part.transpose(0, 1)[None, :length] for part in estimates)
            found = (xy * 4, *(part.sigmoid() for part in logits))
            check(found, expected, prefix, (PX, PROBABILITY, PROBABILITY))


def test_every_stage_of_the_first_iteration(online):
    expected = arrays("stages")
    queries = torch.from_numpy(expected["queries"][0])
    raw = online.fnet(torch.from_numpy(expected["fnet_in"]))
    assert largest_difference(raw, expected["fnet_out"]) < 5e-5
    assert torch.allclose(normalise_features(raw).norm(dim=1), torch.ones(1, 24, 32), atol=1e-6)
    pyramid, frames = online.encode(clip(16)[0]), torch.arange(16)
    xy = queries[:, 1:] / 4
    support = online.support(pyramid, queries[:, 0].long(), xy)
    estimates = new_estimates(xy, 16)
    embedding = online.correlate(pyramid, frames, support, estimates.xy)
    for level, features in enumerate(pyramid):
        positions = estimates.xy[:3, :3] / 2**level
        part = correlation_volume(features, frames[:3], support[level][:3], positions, 3).transpose(0, 1)
        assert largest_difference(part, expected[f"corr_volume_l{level}"]) < 2e-5
        part = embedding[:, :3, level * 256 : (level + 1) * 256].transpose(0, 1)
        assert largest_difference(part, expected[f"corr_embed_l{level}"]) < 5e-4
    assert largest_difference(online.tokens(estimates, embedding)[None], expected["tokens"]) < 5e-4
    assert largest_difference(online.update(estimates, embedding)[None], expected["delta"]) < 1e-4


def test_units(online):
    expected = arrays("units")
    tensor = {name: torch.from_numpy(value) for name, value in expected.items()}
    former = online.updateformer
    found = {
        "blk_time0": former.time_blocks[0](tensor["blk_x"]),
        "blk_p2v1": former.space_point2virtual_blocks[1](tensor["blk_x"], tensor["blk_ctx"]),
        "corr_mlp_out": online.corr_mlp(tensor["corr_mlp_in"]),
        "uf_out": former(former.input_transform(tensor["uf_in"])),
        "uf_out_time_only": former(former.input_transform(tensor["uf_in"]), across_tracks=False),
        "time_emb_16": online.time_emb,
        "time_emb_60": time_embedding(60, 1110),
        "grid_g1": grid(1, (384, 512))[None],
        "grid_g5": grid(5, (384, 512))[None],
        "grid_g6": grid(6, (384, 512))[None],
        "grid_local": grid(8, (50, 50), (100.5, 200.25))[None],
    }
    found |= {
        f"time_emb_60_to_{n}": resample_time_embedding(time_embedding(60, 1110), n) for n in (1, 24, 66)
    }
    for name, value in found.items():
        assert largest_difference(value, expected[name]) < 1e-4, name


def test_motion_is_measured_from_here_to_both_neighbours():
    xy = torch.tensor([[[10.0, 20.0], [12.0, 19.0], [15.0, 19.0]]])
    encoded = motion_encoding(xy, torch.tensor([2.0, 1.0]))[0]
    assert encoded.shape == (3, 84)
    assert encoded[:, :4].tolist() == [[-1.0, 1.0, 0.0, 0.0], [-1.5, 0.0, 1.0, -1.0], [0.0, 0.0, 1.5, 0.0]]
    frequency = 2.0**3
    assert torch.allclose(encoded[0, 4 + 4 * 3], torch.tensor(-frequency).sin(), atol=1e-5)


def test_evaluation_protocol_with_local_and_global_support(offline):
    """Each query alone with its support at frame 0, as the published evaluation does it."""
    expected = arrays("outputs")
    queries = torch.from_numpy(expected["evaluation/queries"][0])
    local = grid(8, (50, 50)) - 25 + queries[3, 1:]
    support = torch.cat([local, grid(5, (96, 128))])
    batch = torch.cat([queries[3:4], torch.nn.functional.pad(support, (1, 0))])
    xy, visibility, confidence = offline(clip(14), batch[None], iterations=6)
    assert largest_difference(xy[0, :, 0], expected["evaluation/single_tracks"][0, :, 3]) < PX
    product = (visibility * confidence)[0, :, 0]
    assert largest_difference(product, expected["evaluation/single_visconf"][0, :, 3]) < PROBABILITY


def test_state_dict_is_the_published_one(online):
    names = list(online.state_dict())
    assert len(names) == 188
    assert sum(tensor.numel() for tensor in online.parameters()) == 25_385_700
    assert names[0] == "time_emb"
    assert online.state_dict()["updateformer.virual_tracks"].shape == (1, 64, 1, 384)


def test_training_reaches_the_encoder_through_every_iteration():
    config = CoTracker3Config(
        window=8, stem_width=8, stage_widths=(8, 8, 8, 8), head_width=16, feature_width=16, corr_levels=2,
        corr_radius=1, support_radius=1, corr_hidden=16, corr_width=16, hidden=32, heads=2, depth=1,
        virtual_tracks=4,
    )  # fmt: skip
    model = CoTracker3(config)
    video = torch.rand(1, 12, 3, 32, 48) * 255
    queries = torch.tensor([[0.0, 20.0, 12.0], [3.0, 30.0, 20.0]])
    windows = list(model.windows(video[0], queries, iterations=2))
    sum(e.xy.sum() + e.visibility.sum() for w in windows for e in w.iterations).backward()
    assert model.fnet.conv1.weight.grad.abs().sum() > 0
    assert model.updateformer.vis_conf_head.weight.grad.abs().sum() > 0
