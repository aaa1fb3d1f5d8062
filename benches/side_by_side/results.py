"""What was measured, kept after each round, so that nothing is lost when a
run ends early."""

import json
import os
import statistics


class Results:
    def __init__(self, path, settings, facts):
        self.path = path
        self.data = {
            "settings": settings, "facts": facts, "samples": {}, "once": {}, "left_out": {}, "failures": [],
        }

    @classmethod
    def read(cls, path):
        found = cls(path, {}, {})
        with open(path) as file:
            found.data = json.load(file)
        return found

    def write(self):
        with open(self.path + ".part", "w") as file:
            json.dump(self.data, file, indent=1)
        os.replace(self.path + ".part", self.path)

    def add(self, shape, peer, round_number, sample):
        rounds = self.data["samples"].setdefault(shape, {}).setdefault(peer, {})
        rounds[str(round_number)] = sample

    def fail(self, text):
        self.data["failures"].append(text)

    def rounds(self, shape, peer):
        return self.data["samples"].get(shape, {}).get(peer, {})

    def values(self, shape, peer, field="cpu_us"):
        return [sample[field] for sample in self.rounds(shape, peer).values() if field in sample]

    def least(self, shape, peer, field="cpu_us"):
        values = self.values(shape, peer, field)
        return min(values) if values else None

    def median(self, shape, peer, field="cpu_us"):
        values = self.values(shape, peer, field)
        return statistics.median(values) if values else None

    def _pairs(self, shape, peer, other, field, join):
        ours, theirs = self.rounds(shape, peer), self.rounds(shape, other)
        return [
            join(ours[number][field], theirs[number][field])
            for number in ours
            if number in theirs and field in ours[number] and field in theirs[number]
        ]

    def ratio(self, shape, peer, other, field="cpu_us"):
        """The median of the ratios of each round, which noise that lasts
        longer than a round cannot move."""
        ratios = self._pairs(shape, peer, other, field, lambda a, b: a / b)
        return statistics.median(ratios) if ratios else None

    def spread(self, shape, peer, other, field="cpu_us"):
        """The least and the greatest of the ratios of each round."""
        ratios = self._pairs(shape, peer, other, field, lambda a, b: a / b)
        return (min(ratios), max(ratios)) if ratios else None

    def ratio_of_least(self, shape, peer, other, field="cpu_us"):
        ours, theirs = self.least(shape, peer, field), self.least(shape, other, field)
        return ours / theirs if ours and theirs else None

    def added(self, shape, peer, other, field):
        """The median of the differences of each round."""
        differences = self._pairs(shape, peer, other, field, lambda a, b: a - b)
        return statistics.median(differences) if differences else None
