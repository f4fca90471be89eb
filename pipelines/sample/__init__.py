"""Sample data: a small generated data set, to try the system where no other may be had."""

MIN_IDENTITIES = 6  # a pair of people in each split
NOTICE = "Generated to exercise the system; it says nothing about real deepfakes."
