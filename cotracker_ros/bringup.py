"""What the launch files share: a node of this package, brought up through its lifecycle.

Imports `launch` and `launch_ros`; nothing but launch files uses it. Works from Humble on, where launch itself
cannot start lifecycle nodes by a keyword yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from launch import Action, LaunchContext
from launch.actions import EmitEvent, RegisterEventHandler
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition


def given(context: LaunchContext, names: Iterable[str]) -> dict[str, str]:
    """Launch arguments that are not empty.

    An empty argument means "as in the parameter file", so only these become parameters of their own.

    Args:
        context: of the running launch.
        names: arguments to look at.

    Returns:
        Their texts by name.
    """
    values = {name: LaunchConfiguration(name).perform(context) for name in names}
    return {name: value for name, value in values.items() if value}


def is_true(context: LaunchContext, name: str) -> bool:
    """Whether a launch argument says yes: true or 1, in any case."""
    return LaunchConfiguration(name).perform(context).lower() in ("true", "1")


def request(node: LifecycleNode, transition: int) -> EmitEvent:
    """Ask a node for a transition, `lifecycle_msgs.msg.Transition.TRANSITION_...`."""
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))


def lifecycle_node(
    context: LaunchContext,
    name: str,
    *,
    parameters: Sequence[str | Mapping[str, Any]],
    remappings: Sequence[tuple[str, str]] = (),
    activate: bool = True,
) -> list[Action]:
    """Start `<name>_node` of this package, configure it, and activate it once it is configured.

    A node that cannot be configured says why and stays alive: correct its parameters and configure it again.
    A respawned node is brought up again. Reads the launch arguments `namespace`, `use_sim_time`, `respawn`.

    Args:
        context: of the running launch.
        name: tracker, lifter or player: the node's name.
        parameters: parameter files and values; later ones win.
        remappings: of topics.
        activate: False: only configure it.

    Returns:
        What the launch file adds to its description.
    """
    respawn = is_true(context, "respawn")
    node = LifecycleNode(
        package="cotracker_ros",
        executable=f"{name}_node",
        name=name,
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            *parameters,
            {"use_sim_time": is_true(context, "use_sim_time"), "autostart": respawn},
        ],
        remappings=list(remappings),
        output="screen",
        emulate_tty=True,
        respawn=respawn,
        respawn_delay=2.0,
    )
    if respawn:
        # The services of a process that was killed are seen for a while yet, and a request to them gets lost:
        # a node that may come back brings itself up.
        return [node]
    configure = RegisterEventHandler(
        OnProcessStart(target_action=node, on_start=[request(node, Transition.TRANSITION_CONFIGURE)])
    )
    if not activate:
        return [configure, node]
    when_configured = OnStateTransition(
        target_lifecycle_node=node,
        start_state="configuring",
        goal_state="inactive",
        entities=[request(node, Transition.TRANSITION_ACTIVATE)],
    )
    return [RegisterEventHandler(when_configured), configure, node]
