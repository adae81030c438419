"""The log's figures."""

from palaver.server.log import Histogram


def test_a_histogram_counts_into_inclusive_upper_bounds_and_one_bucket_above() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.0, 1.0, 1.5, 2.0, 2.1, 99.0):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 2]
    assert (histogram.count, histogram.total) == (6, 105.6)
