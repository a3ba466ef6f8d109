"""The public functions: validate, choose a backend, decompose, fix the gauge, apply the rule, read its flags."""
