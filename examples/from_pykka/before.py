"""Two counters of words and what sums them up, in pykka.

python before.py
"""

import pykka

LINES = ["tea and cups", "cups of tea", "more tea"]


class Counter(pykka.ThreadingActor):
    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._words: dict[str, int] = {}

    def add(self, line: str) -> None:
        for word in line.split():
            self._words[word] = self._words.get(word, 0) + 1

    def count(self, word: str) -> int:
        return self._words.get(word, 0)

    def on_stop(self) -> None:
        print(f"{self._name} had {len(self._words)} words")


class Report(pykka.ThreadingActor):
    def __init__(self, counters: list[pykka.ActorProxy[Counter]]) -> None:
        super().__init__()
        self._counters = counters

    def total(self, word: str) -> int:
        return sum(pykka.get_all([counter.count(word) for counter in self._counters]))


def main() -> None:
    counters = [Counter.start(f"counter{number}").proxy() for number in range(2)]
    report = Report.start(counters).proxy()
    for number, line in enumerate(LINES):
        counters[number % 2].add.defer(line)
    print("tea:", report.total("tea").get(timeout=5))
    print("cups:", report.total("cups").get(timeout=5))
    pykka.ActorRegistry.stop_all()  # the last one first


if __name__ == "__main__":
    main()
