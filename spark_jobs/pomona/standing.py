"""What became of a run's model once its verdict was carried out, in words: for report, summary, MLflow and task log."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    """Where the model stands when its run has registered it; a verdict *promote* alone says nothing of that.

    Attributes
    ----------
    moved : whether it is the champion
    why : why it is not, in a line without a full stop
    promoted : when this run made it champion, in words; empty when it never did
    champion : the version that is champion; None without one
    """

    moved: bool = False
    why: str = ""
    promoted: str = ""
    champion: int | None = None

    @property
    def words(self) -> str:
        """One sentence that stays true whatever moves later."""
        if self.promoted:
            return f"It became the champion at {self.promoted}{'' if self.moved else f', but is not any more: {self.why}'}."
        return "It was the champion already." if self.moved else f"It did not become the champion: {self.why}."
