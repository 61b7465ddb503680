"""The benchmark: what convstore costs next to doing nothing and next to doing as little as possible.

`python -m bench` starts every server as real processes on loopback, drives them with one client in
interleaved rounds, and prints tables with ratios and the targets they are held to. Read ratios, not absolute
figures.
"""
