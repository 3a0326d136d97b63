"""Who has which share of what: stacked bars, one per group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from cotracker_ros.visualization.plots import MUTED, PALE, SERIES, _figure, _in_style


@_in_style
def plot_shares(
    title: str, groups: Sequence[str], counts: Mapping[str, Sequence[int]], rest: str = ""
) -> Figure:
    """Stacked bars of shares.

    Args:
        title: Of the plot.
        groups: Names of the bars, from the top down.
        counts: For each owner, its count in each group.
        rest: Owner that is drawn in grey.
    """
    height = 1.3 + 0.32 * len(groups)
    figure, axes = _figure(title, "share of all points and frames", "", (7.2, height))
    table = np.array(list(counts.values()), float).reshape(len(counts), len(groups))
    total = table.sum(0)
    shares = np.divide(table, total, out=np.zeros_like(table), where=total > 0)
    left = np.zeros(len(groups))
    owners = [name for name in counts if name != rest]
    for name, share in zip(counts, shares, strict=True):
        turn, place = divmod(owners.index(name), len(SERIES)) if name in owners else (0, 0)
        look = {"color": PALE} if name == rest else {"color": SERIES[place], "alpha": 1 / (1 + 0.7 * turn)}
        axes.barh(np.arange(len(groups)), share, left=left, height=0.62, label=name, lw=0, **look)
        left += share
    labels = [f"{name}  ({count:,.0f})" for name, count in zip(groups, total, strict=True)]
    axes.set_yticks(np.arange(len(groups)), labels, color=MUTED)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    figure.legend(loc="outside lower center", ncols=4)
    return figure
