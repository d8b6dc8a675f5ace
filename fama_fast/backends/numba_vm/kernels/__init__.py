"""The kernels, one module a family: only loops. Axes, tiles, threads and masks are the runner's business."""
