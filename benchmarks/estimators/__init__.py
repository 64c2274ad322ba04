"""Our estimators beside those of scikit-learn, on its own data sets."""
