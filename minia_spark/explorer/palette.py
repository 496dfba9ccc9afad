"""Colours of the map, for its page and its figures."""

from __future__ import annotations

__all__ = ["DARK", "LIGHT", "OTHER", "SCALE"]

LIGHT = ("#1360d0", "#d4b01d", "#1e9b6f", "#ae5ba0", "#5bbeff", "#aa550d", "#4d3d1e", "#371672")
"""Of the most frequent values, on white: near Okabe and Ito's, moved apart until any two differ
clearly (CIELAB distance of 20 and more) in sight without red, green or blue cones (Machado et al.
2009) too."""
DARK = ("#1f6dc2", "#e9850a", "#3de586", "#c595a6", "#a8bafd", "#c33c30", "#f9ff28", "#823dfe")
"""The same on black."""
OTHER = "#8f959e"
"""Of all further values, and of none."""
SCALE = ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838")
"""Of numbers, from low to high, with straight lines between: cividis (Nunez et al. 2018)."""
