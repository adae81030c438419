"""The proofs are run: z3 on the program's own functions, and Coq without axioms."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from proofs import lww, program

COQ = Path(__file__).resolve().parents[3] / "proofs" / "lww.v"


def test_every_theorem_about_cells_states_floors_and_clocks_is_proved() -> None:
    theorems = lww.theorems()
    assert len(theorems) >= 60
    assert {name for name, claim in theorems.items() if lww.verdict(claim) != lww.PROVED} == set()


def test_every_wrong_variant_is_refuted() -> None:
    mistakes = lww.mistakes()
    assert len(mistakes) >= 25
    assert {name for name, claim in mistakes.items() if lww.verdict(claim) != lww.REFUTED} == set()


@pytest.mark.usefixtures("joining")
def test_the_program_itself_joins_on_every_path() -> None:
    claims = program.claims()
    assert len(claims) >= 80
    assert {name for name, claim in claims.items() if lww.verdict(claim) != lww.PROVED} == set()


@pytest.mark.slow
def test_coq_accepts_the_proof_and_it_rests_on_no_axiom(tmp_path: Path) -> None:
    coqc = shutil.which("coqc")
    if coqc is None:
        pytest.skip("coqc is not installed")
    copy = tmp_path / COQ.name
    copy.write_bytes(COQ.read_bytes())

    run = subprocess.run([coqc, copy.name], cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False)

    assert run.returncode == 0, run.stderr
    asked = re.findall(r"^Print Assumptions", COQ.read_text(), flags=re.MULTILINE)
    assert run.stdout.split("\n")[:-1] == ["Closed under the global context"] * len(asked)
    assert not re.findall(r"\b(Axiom|Admitted|admit|Conjecture)\b", COQ.read_text())
