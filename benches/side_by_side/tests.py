"""The arithmetic of the side-by-side run, without running anybody.

python3 -m unittest benches/side_by_side/tests.py
"""

import os
import sys
import tempfile
import unittest
from xml.etree import ElementTree

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from side_by_side import browser, chart, page, shapes, syscalls, targets  # noqa: E402
from side_by_side.results import Results  # noqa: E402


def results(costs):
    """{peer: [µs in each round]} of the first shape."""
    found = Results("unused", {"rounds": 3, "seconds": 2, "rate": 1000, "command": "x"}, {
        "date": "d", "processor": "p", "memory": "m", "kernel": "k", "versions": {"nginx": "1"},
    })
    for peer, values in costs.items():
        for number, value in enumerate(values, 1):
            sample = {"cpu_us": value, "switches": 0.1, "requests": 10, "redis_us": 0, "redis_commands": 0}
            found.add("h1-1k", peer, number, sample)
    return found


class Ratios(unittest.TestCase):
    def test_noise_of_a_whole_round_moves_no_ratio(self):
        calm, noisy = 10.0, 30.0
        found = results({"nginx": [calm, noisy, calm], "signed-in": [12.0, 36.0, 12.0]})
        self.assertAlmostEqual(found.ratio("h1-1k", "signed-in", "nginx"), 1.2)
        self.assertAlmostEqual(found.median("h1-1k", "signed-in"), 12.0)

    def test_a_round_that_one_side_failed_does_not_count(self):
        found = results({"nginx": [10.0, 10.0], "signed-in": [12.0, 12.0, 99.0]})
        self.assertAlmostEqual(found.ratio("h1-1k", "signed-in", "nginx"), 1.2)

    def test_who_was_not_measured_has_none(self):
        self.assertIsNone(results({"nginx": [10.0]}).ratio("h1-1k", "signed-in", "nginx"))


class Verdicts(unittest.TestCase):
    def test_less_is_better_or_more_is(self):
        self.assertEqual(targets.verdict(1.26, 1.25, 1.0, True), "**missed**")
        self.assertEqual(targets.verdict(1.25, 1.25, 1.0, True), "met")
        self.assertEqual(targets.verdict(1.0, 1.25, 1.0, True), "met, with the aim")
        self.assertEqual(targets.verdict(17.9, 18, 24, False), "**missed**")
        self.assertEqual(targets.verdict(18.0, 18, 24, False), "met")
        self.assertEqual(targets.verdict(0.7, None, 0.6, True), "aim missed")
        self.assertEqual(targets.verdict(None, 18, 24, False), "not measured")


class Pages(unittest.TestCase):
    def test_what_is_written_by_hand_stays(self):
        found = results({"nginx": [10.0], "signed-in": [12.0]})
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "RESULTS.md")
            page.write(found, path)
            with open(path, "a") as file:
                file.write("\nWhy so.\n")
            page.write(found, path)
            page.write(found, path)
            with open(path) as file:
                text = file.read()
        self.assertEqual(text.count("Why so."), 1)
        self.assertEqual(text.count("## Targets"), 1)
        self.assertRegex(text, r"\| +1\.20 \|")

    def test_the_chart_is_well_formed_and_says_every_value(self):
        picture = chart.svg(results({"nginx": [10.0], "signed-in": [12.5], "apache-redis": [330.0]}))
        words = "".join(ElementTree.fromstring(picture).itertext())
        for value in ("10.0", "12.5", "330.0"):
            self.assertIn(value, words)

    def test_without_figures_no_chart(self):
        self.assertIsNone(chart.svg(results({})))


class Words(unittest.TestCase):
    def test_a_selection_may_lack_a_side(self):
        self.assertEqual(shapes.chosen("h1-1k,tls-1k/nginx"), (["h1-1k", "tls-1k"], ["nginx"]))
        self.assertEqual(shapes.chosen("/nginx"), ([], ["nginx"]))
        self.assertEqual(shapes.chosen(None), ([], []))

    def test_strace_tables_are_read(self):
        table = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000600           1      2000         3 recvfrom
 40.00    0.000400           1      2000           writev
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           1      4000         3 total
"""
        self.assertEqual(syscalls.read(table), {"recvfrom": 2000, "writev": 2000})

    def test_cookies_end(self):
        self.assertTrue(browser.is_over("; Path=/; Max-Age=0"))
        self.assertTrue(browser.is_over("; expires=Thu, 01 Jan 1970 00:00:00 GMT"))
        self.assertFalse(browser.is_over("; Max-Age=60; expires=Thu, 01 Jan 1970 00:00:00 GMT"))
        self.assertFalse(browser.is_over("; Path=/; HttpOnly"))


if __name__ == "__main__":
    unittest.main()
