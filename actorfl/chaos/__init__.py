"""Runs under fault schedules drawn from seeds: ``actorfl chaos``; see docs/chaos.md."""
