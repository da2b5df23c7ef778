"""Connectivity: whether a pruned network is still well connected, and where it breaks if not.

On any weighted graph, a symmetric non-negative scipy.sparse matrix:

    heat_signature(adjacency, sources, times)    S(t) for all times from one Lanczos run
    saturated_signature(adjacency, sources)      S(inf), exactly
    saturation_time(adjacency, sources, 1e-3)    when heat has settled
    scree(adjacency, percent, times)             alpha(K, t)

On layers, boolean (out, in) matrices in order from the input:

    scatter(junctions)                           the scatter vector and its minimum
    effective_density(junctions)                 the share of weights on a path from input to output

On networks: a ChannelGraph, held by a Subject, read by the METRICS. Needs numpy and scipy only.

    channel_graph(network, GraphOptions())       the graph of a network whose channels were followed
    dense_reference(network, GraphOptions())     that of the same network, every weight present, without skips
    report.report(subject, reference)            a ConnectivityReport: findings, all metrics, layers, curves
    difference.difference(a, b)                  a ConnectivityDifference, layer by layer
    page.render.render(report, graph, reference) the report as an HTML page; needs jinja2
    plot_report(report)                          its plots as a matplotlib figure, also each by itself: plot_heat,
                                                 plot_limits, plot_distance, plot_scree, plot_density
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from n2nsurgery.imports import public_names

if TYPE_CHECKING:
    from n2nsurgery.connectivity.graph.channel_graph import Block, ChannelGraph, identity_block
    from n2nsurgery.connectivity.graph.graph_options import GraphOptions
    from n2nsurgery.connectivity.graph.network_graph import channel_graph, dense_reference
    from n2nsurgery.connectivity.heat.heat import Heat
    from n2nsurgery.connectivity.heat.heat_solver import solve_heat
    from n2nsurgery.connectivity.heat.laplacian import Laplacian, laplacian
    from n2nsurgery.connectivity.heat.scree_curves import ScreeCurves, scree, scree_curves
    from n2nsurgery.connectivity.heat.signature import heat_signature, saturated_signature, saturation_time
    from n2nsurgery.connectivity.measures.measurement import METRICS, Column, Curve, Measurement, Metric, Quantity
    from n2nsurgery.connectivity.measures.subject import Origin, Subject
    from n2nsurgery.connectivity.page.plots import (
        plot_density,
        plot_distance,
        plot_heat,
        plot_limits,
        plot_report,
        plot_scree,
    )
    from n2nsurgery.connectivity.paths.reach import effective_density
    from n2nsurgery.connectivity.paths.scatter_vector import Scatter, scatter
    from n2nsurgery.connectivity.report.difference import ConnectivityDifference
    from n2nsurgery.connectivity.report.findings import Finding
    from n2nsurgery.connectivity.report.report import ConnectivityReport
    from n2nsurgery.graph.channels.flow import NodeGroup

__all__ = [
    "METRICS",
    "Block",
    "ChannelGraph",
    "Column",
    "ConnectivityDifference",
    "ConnectivityReport",
    "Curve",
    "Finding",
    "GraphOptions",
    "Heat",
    "Laplacian",
    "Measurement",
    "Metric",
    "NodeGroup",
    "Origin",
    "Quantity",
    "Scatter",
    "ScreeCurves",
    "Subject",
    "channel_graph",
    "dense_reference",
    "effective_density",
    "heat_signature",
    "identity_block",
    "laplacian",
    "plot_density",
    "plot_distance",
    "plot_heat",
    "plot_limits",
    "plot_report",
    "plot_scree",
    "saturated_signature",
    "saturation_time",
    "scatter",
    "scree",
    "scree_curves",
    "solve_heat",
]

__getattr__, __dir__ = public_names(
    __name__,
    {
        "METRICS": "n2nsurgery.connectivity.measures.measurement:METRICS",
        "Block": "n2nsurgery.connectivity.graph.channel_graph:Block",
        "ChannelGraph": "n2nsurgery.connectivity.graph.channel_graph:ChannelGraph",
        "Column": "n2nsurgery.connectivity.measures.measurement:Column",
        "ConnectivityDifference": "n2nsurgery.connectivity.report.difference:ConnectivityDifference",
        "ConnectivityReport": "n2nsurgery.connectivity.report.report:ConnectivityReport",
        "Curve": "n2nsurgery.connectivity.measures.measurement:Curve",
        "Finding": "n2nsurgery.connectivity.report.findings:Finding",
        "GraphOptions": "n2nsurgery.connectivity.graph.graph_options:GraphOptions",
        "Heat": "n2nsurgery.connectivity.heat.heat:Heat",
        "Laplacian": "n2nsurgery.connectivity.heat.laplacian:Laplacian",
        "Measurement": "n2nsurgery.connectivity.measures.measurement:Measurement",
        "Metric": "n2nsurgery.connectivity.measures.measurement:Metric",
        "NodeGroup": "n2nsurgery.graph.channels.flow:NodeGroup",
        "Origin": "n2nsurgery.connectivity.measures.subject:Origin",
        "Quantity": "n2nsurgery.connectivity.measures.measurement:Quantity",
        "Scatter": "n2nsurgery.connectivity.paths.scatter_vector:Scatter",
        "ScreeCurves": "n2nsurgery.connectivity.heat.scree_curves:ScreeCurves",
        "Subject": "n2nsurgery.connectivity.measures.subject:Subject",
        "channel_graph": "n2nsurgery.connectivity.graph.network_graph:channel_graph",
        "dense_reference": "n2nsurgery.connectivity.graph.network_graph:dense_reference",
        "effective_density": "n2nsurgery.connectivity.paths.reach:effective_density",
        "heat_signature": "n2nsurgery.connectivity.heat.signature:heat_signature",
        "identity_block": "n2nsurgery.connectivity.graph.channel_graph:identity_block",
        "laplacian": "n2nsurgery.connectivity.heat.laplacian:laplacian",
        "plot_density": "n2nsurgery.connectivity.page.plots:plot_density",
        "plot_distance": "n2nsurgery.connectivity.page.plots:plot_distance",
        "plot_heat": "n2nsurgery.connectivity.page.plots:plot_heat",
        "plot_limits": "n2nsurgery.connectivity.page.plots:plot_limits",
        "plot_report": "n2nsurgery.connectivity.page.plots:plot_report",
        "plot_scree": "n2nsurgery.connectivity.page.plots:plot_scree",
        "saturated_signature": "n2nsurgery.connectivity.heat.signature:saturated_signature",
        "saturation_time": "n2nsurgery.connectivity.heat.signature:saturation_time",
        "scatter": "n2nsurgery.connectivity.paths.scatter_vector:scatter",
        "scree": "n2nsurgery.connectivity.heat.scree_curves:scree",
        "scree_curves": "n2nsurgery.connectivity.heat.scree_curves:scree_curves",
        "solve_heat": "n2nsurgery.connectivity.heat.heat_solver:solve_heat",
    },
)
