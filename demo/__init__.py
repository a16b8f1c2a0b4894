"""The registry's main job, done on real models: `make demo`."""
