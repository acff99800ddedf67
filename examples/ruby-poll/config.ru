# frozen_string_literal: true

require_relative "poll"

run Poll.new(%w[Tabs Spaces])
