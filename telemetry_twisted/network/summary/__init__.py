"""How each network fares now, in a few figures: what subscribers and alerts are told."""
