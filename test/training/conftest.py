"""What tests of training share."""

import pytest
from drifting import drifting_clip

from cotracker_ros.training import trainer, verifying


@pytest.fixture(autouse=True)
def short_verifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verifiers are fitted on one small clip, in a few steps."""
    monkeypatch.setattr(trainer, "verifier_clips", lambda count: [drifting_clip(3, frames=8, size=(128, 96))])
    monkeypatch.setattr(verifying, "_STEPS", 300)
