"""Large runs of checks: agreement of backends, faults, damaged files, and killed trainings."""
