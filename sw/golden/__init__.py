"""What every byte has to be: the reference's arithmetic in NumPy.

``model`` is its face; ``oracle`` asks TensorFlow Lite itself, for tests.
"""
