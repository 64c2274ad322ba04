"""The engine that runs any plan, layer by layer."""
