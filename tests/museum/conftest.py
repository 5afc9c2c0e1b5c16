"""Whoever tells the museum's stories."""

from tests.support.storytelling import Tell, runner, story, story_url

__all__ = ["Tell", "runner", "story", "story_url"]
