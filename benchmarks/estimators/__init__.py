"""Estimators compared with those of scikit-learn."""
