"""`uniar-eval report RUN`."""

import json

from click.testing import CliRunner

from reports.commands import report


def test_report_prints_the_page(builder, tmp_path):
    run = builder.build_run(tmp_path / "run", prompts_per_task=1)
    result = CliRunner().invoke(report, [str(run)])
    assert result.exit_code == 0
    assert result.output.strip() == str(run / "report" / "index.html")


def test_report_as_json_says_size_and_time(builder, tmp_path):
    run = builder.build_run(tmp_path / "run", prompts_per_task=1)
    figures = json.loads(CliRunner().invoke(report, [str(run), "--json"]).output)
    assert figures["bytes"] == (run / "report" / "index.html").stat().st_size
