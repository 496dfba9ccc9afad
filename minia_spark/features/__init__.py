"""Local descriptors: an image in, a set of described points out.

``extractor`` says what an extractor is and makes the chosen one; ``sift`` is one; ``preprocess``
is what happens to the pixels before. No Spark here except in ``stage``.
"""
