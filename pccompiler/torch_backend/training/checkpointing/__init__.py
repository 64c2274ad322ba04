"""Training that is interrupted and goes on."""
