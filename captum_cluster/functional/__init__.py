"""The maths, as pure functions: tensors in, tensors out."""
