"""What docs/ takes from the code of the evaluation."""

from tests.fixtures import ROOT
from trainer.evaluation.documents import SCHEMA_FILE, main


def test_the_table_of_metrics_and_the_json_schema_are_up_to_date(tmp_path):
    names = ("evaluation.md", SCHEMA_FILE)
    published = [(ROOT / "docs" / name).read_text() for name in names]
    (tmp_path / "evaluation.md").write_text(published[0])
    main(tmp_path)
    written = [(tmp_path / name).read_text() for name in names]
    assert written == published, "run `python -m trainer.evaluation.documents`"
