"""Makes the pictures in `docs/evidence/`; a person runs these, no test does."""
