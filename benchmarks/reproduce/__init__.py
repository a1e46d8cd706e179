"""Published and measured numbers, ours beside them; see docs/reproducing.md."""
